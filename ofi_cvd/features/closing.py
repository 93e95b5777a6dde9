"""What an hour hands to the next: closing scalars and trailing rows, from the same frames its tables came from."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ofi_cvd.features import cvd
from ofi_cvd.features.book import receipt_ns
from ofi_cvd.features.carry import SCALAR_TYPES, TRAILING_ROWS
from ofi_cvd.features.stages import BookFrames, EventFrames, GridFrames, HourContext, TradeFrames
from ofi_cvd.features.trades import RATE_WINDOW_MS
from ofi_cvd.settings import Settings

_SIZES = ("size_sum_fast", "size_count_fast", "size_sum_slow", "size_count_slow")


@dataclass(frozen=True)
class HourFrames:
    """The frames of an hour that something is carried over from, each in time order."""

    trade: TradeFrames
    book: BookFrames
    grid: GridFrames
    event: EventFrames
    breaks: pl.LazyFrame


def scalars(context: HourContext, frames: HourFrames) -> pl.LazyFrame:
    """Return one row with a column a scalar, in the order of `Scalars`."""
    before = context.hour.opening.scalars

    def latest(name: str, expr: pl.Expr) -> pl.Expr:
        """Keep the value the hour opened with where the hour has nothing newer."""
        dtype = SCALAR_TYPES[name]
        return pl.coalesce(expr.cast(dtype), pl.lit(getattr(before, name), dtype=dtype)).alias(name)

    has_sizes = context.settings.z_mode == "delta"
    admitted = pl.col("missing_so_far").filter(pl.col("reject_reason").is_null())
    pending = pl.col("missing_so_far").last() - admitted.last().fill_null(0)
    seen = frames.trade.seen.select(
        pl.lit(context.hour.first_trade_ms, dtype=pl.Int64).alias("first_trade_ms"),
        latest("last_seen_id", pl.col("trade_id").last()),
        latest("pending_missing", pending),
    )
    traded = frames.trade.cvd.select(
        latest("last_trade_ms", pl.col("ts_ms").last()),
        (pl.len().cast(pl.Int64) + before.trades_so_far).alias("trades_so_far"),
        *_closing_sum(context),
        *(latest(name, pl.col(name).last() if has_sizes else pl.lit(None)) for name in _SIZES),
    )
    updated = frames.book.updates.select(
        latest("last_update_ms", pl.col("ts_ms").last()), latest("last_receipt_ns", receipt_ns().max())
    ).with_columns(pl.max_horizontal("last_receipt_ns", pl.lit(before.last_receipt_ns, dtype=pl.Int64)))
    bucketed = frames.book.scored.select(latest("first_ofi_ms", pl.col("first_ofi_ms").first()))
    fusion = frames.grid.fusion.select(
        latest(name, pl.col(name).first()) for name in ("first_flow_ms", "first_cvd_flow_ms", "first_score_ms")
    )
    return pl.concat([seen, traded, updated, bucketed, fusion], how="horizontal")


def _closing_sum(context: HourContext) -> list[pl.Expr]:
    """Return the running sum an hour closes with, and whether it is complete: also of an hour without a trade."""
    hour, settings = context.hour, context.settings
    resets_here = hour.begins_day and settings.cvd_reset == "utc_day"
    opens_complete = cvd.opens_complete(hour.opening, settings, resets_here=resets_here)
    outage_ended = bool(hour.within([outage.end_ms for outage in hour.trade_outages]))
    complete = pl.coalesce(pl.col("cvd_complete").last(), pl.lit(opens_complete)) & pl.lit(not outage_ended)
    before = pl.lit(0 if resets_here else hour.opening.scalars.cvd_units, dtype=pl.Int128)
    return [
        pl.coalesce(pl.col("cvd_units").last(), before).alias("cvd_units"),
        complete.alias("cvd_complete"),
    ]


def trailing_rows(context: HourContext, frames: HourFrames) -> dict[str, pl.LazyFrame]:
    """Return the rows that the next hour's windows reach back to."""
    hour, settings, grid = context.hour, context.settings, frames.grid
    opening, end_ms, window_ms = hour.opening, hour.end_ms, settings.z_win_secs * 1000

    def since(frame: pl.LazyFrame, reach_ms: int) -> pl.LazyFrame:
        return frame.filter(pl.col("ts_ms") >= end_ms - reach_ms)

    grid_rows = max(settings.win_secs, 2 * settings.pivot_span_secs + 1) + 1
    felt = pl.col("end_ms") > end_ms - settings.win_secs * 1000
    last_pivots = pl.concat([opening.rows("pivots"), _carried(frames.event.pivots, "pivots")])
    last_emitted = pl.concat([opening.rows("emitted"), _carried(frames.event.emitted, "emitted")])
    return {
        "trades": _trailing_trades(context, frames.trade),
        "book": frames.book.updates.tail(1).drop("is_new", "ts_ms", "mid", "spread_bps", "has_before", "contiguous"),
        "updates": frames.book.contributing.filter(pl.col("ts_ms") > end_ms - settings.bucket_ms),
        "ofi": _carried(since(frames.book.scored, max(window_ms, 1000)), "ofi"),
        "fusion": _carried(since(grid.fusion, window_ms), "fusion"),
        "grid": _carried(grid.prices.tail(grid_rows), "grid"),
        "day": _carried(grid.history.tail(settings.vol_lookback_secs - 1), "day"),
        "breaks": frames.breaks.filter(felt).unique().sort("end_ms"),
        "pivots": last_pivots.sort("is_high", "pivot_ts_ms").group_by("is_high", maintain_order=True).last(),
        "emitted": last_emitted.sort("event_type", "ts_ms").group_by("event_type", maintain_order=True).last(),
    }


def _carried(frame: pl.LazyFrame, name: str) -> pl.LazyFrame:
    return frame.select(TRAILING_ROWS[name].names())


def _trailing_trades(context: HourContext, trade: TradeFrames) -> pl.LazyFrame:
    """Return the trades that a window of time or of MAD_WINDOW_TRADES trades reaches back to."""
    settings = context.settings
    reach_ms = max(_level_window_ms(settings), RATE_WINDOW_MS)
    both = pl.concat([context.hour.opening.rows("trades"), _carried(trade.cvd, "trades")])
    is_recent = pl.col("ts_ms") >= context.hour.end_ms - reach_ms
    is_last = pl.int_range(pl.len()) >= pl.len().cast(pl.Int64) - settings.mad_window_trades
    return both.filter(is_recent | is_last)


def _level_window_ms(settings: Settings) -> int:
    return settings.z_win_secs * 1000 if settings.z_mode == "level" else 0
