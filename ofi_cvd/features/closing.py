"""What an hour hands to the next: closing marks and tails, from the same frames its tables came from (SPEC 10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from ofi_cvd.features import cvd
from ofi_cvd.features.state import MARK_TYPES, TAILS
from ofi_cvd.features.trades import RATE_WINDOW_MS
from ofi_cvd.settings import Settings

if TYPE_CHECKING:
    from ofi_cvd.features.hour import Hour


@dataclass(frozen=True)
class Stages:
    """The frames of an hour that something is carried over from, each in time order."""

    numbered: pl.LazyFrame
    measured: pl.LazyFrame
    linked: pl.LazyFrame
    updates: pl.LazyFrame
    scored: pl.LazyFrame
    fused: pl.LazyFrame
    grid: pl.LazyFrame
    history: pl.LazyFrame
    breaks: pl.LazyFrame
    pivots: pl.LazyFrame
    fired: pl.LazyFrame


def marks(hour: Hour, stages: Stages, settings: Settings) -> pl.LazyFrame:
    """Return one row with a column a mark, in the order of `Marks`."""
    before = hour.opening.marks

    def kept(name: str, expr: pl.Expr) -> pl.Expr:
        """Keep the mark the hour opened with where the hour has nothing newer."""
        dtype = MARK_TYPES[name]
        return pl.coalesce(expr.cast(dtype), pl.lit(getattr(before, name), dtype=dtype)).alias(name)

    resets_here = hour.resets and settings.cvd_reset == "utc_day"
    opens_complete = cvd.opens_complete(hour.opening, settings, resets_here=resets_here)
    outage_ended = bool(hour.ended([outage.end_ms for outage in hour.trade_outages]))
    complete = pl.coalesce(pl.col("cvd_complete").last(), pl.lit(opens_complete)) & pl.lit(not outage_ended)
    cvd_before = pl.lit(0 if resets_here else before.cvd_units, dtype=pl.Int128)
    admitted = pl.col("missing_so_far").filter(pl.col("objection").is_null())
    pending = pl.col("missing_so_far").last() - admitted.last().fill_null(0)
    sizes = ("size_sum_fast", "size_count_fast", "size_sum_slow", "size_count_slow")
    has_sizes = settings.z_mode == "delta"
    first_trade = pl.lit(hour.first_trade_ms, dtype=pl.Int64)
    seen = stages.numbered.select(
        first_trade.alias("first_trade_ms"),
        kept("last_seen_id", pl.col("trade_id").last()),
        kept("pending_missing", pending),
    )
    traded = stages.measured.select(
        kept("last_trade_ms", pl.col("ts_ms").last()),
        (pl.len().cast(pl.Int64) + before.trades_so_far).alias("trades_so_far"),
        pl.coalesce(pl.col("cvd_units").last(), cvd_before).alias("cvd_units"),
        complete.alias("cvd_complete"),
        *(kept(name, pl.col(name).last() if has_sizes else pl.lit(None)) for name in sizes),
    )
    updated = stages.linked.select(
        kept("last_update_ms", pl.col("ts_ms").last()), kept("last_receipt_ns", pl.col("recv_ns").max())
    ).with_columns(pl.max_horizontal("last_receipt_ns", pl.lit(before.last_receipt_ns, dtype=pl.Int64)))
    bucketed = stages.scored.select(kept("first_ofi_ms", pl.col("first_ofi_ms").first()))
    fusion = stages.fused.select(
        kept(name, pl.col(name).first()) for name in ("first_flow_ms", "first_cvd_flow_ms", "first_score_ms")
    )
    return pl.concat([seen, traded, updated, bucketed, fusion], how="horizontal")


def tails(hour: Hour, stages: Stages, settings: Settings) -> dict[str, pl.LazyFrame]:
    """Return the trailing rows that the next hour's windows reach back to."""
    opening, end_ms = hour.opening, hour.end_ms

    def since(frame: pl.LazyFrame, reach_ms: int) -> pl.LazyFrame:
        return frame.filter(pl.col("ts_ms") >= end_ms - reach_ms)

    window_ms = settings.z_win_secs * 1000
    trades_reach_ms = window_ms if settings.z_mode == "level" else RATE_WINDOW_MS
    is_recent = pl.col("ts_ms") >= end_ms - max(trades_reach_ms, RATE_WINDOW_MS)
    is_last = pl.int_range(pl.len()) >= pl.len().cast(pl.Int64) - settings.mad_window_trades
    traded = pl.concat([opening.tail("trades"), stages.measured.select(TAILS["trades"].names())]).filter(
        is_recent | is_last
    )
    grid_rows = max(settings.win_secs, 2 * settings.pivot_span_secs + 1) + 1
    last_pivots = pl.concat([opening.tail("pivots"), stages.pivots.select(TAILS["pivots"].names())])
    last_fired = pl.concat([opening.tail("fired"), stages.fired.select(TAILS["fired"].names())])
    return {
        "trades": traded,
        "book": stages.linked.tail(1).drop("is_new", "ts_ms", "mid", "spread_bps", "has_before", "contiguous"),
        "updates": stages.updates.filter(pl.col("ts_ms") > end_ms - settings.bucket_ms),
        "ofi": since(stages.scored, max(window_ms, 1000)).select(TAILS["ofi"].names()),
        "fusion": since(stages.fused, window_ms).select(TAILS["fusion"].names()),
        "grid": stages.grid.tail(grid_rows).select(TAILS["grid"].names()),
        "day": stages.history.tail(settings.vol_lookback_secs - 1).select(TAILS["day"].names()),
        "breaks": stages.breaks.filter(pl.col("end_ms") > end_ms - settings.win_secs * 1000).unique().sort("end_ms"),
        "pivots": last_pivots.sort("is_high", "pivot_ts_ms").group_by("is_high", maintain_order=True).last(),
        "fired": last_fired.sort("event_type", "ts_ms").group_by("event_type", maintain_order=True).last(),
    }
