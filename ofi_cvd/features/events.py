"""Events from the 1 s grid and the fusion rows: pivots, divergences, anomalies, conflicts.

See docs/specification/events.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import polars as pl

from ofi_cvd.common.times import SECOND_MS
from ofi_cvd.features.carry import CarryState
from ofi_cvd.features.exact import UNITS, ratio
from ofi_cvd.features.gaps import Span
from ofi_cvd.features.labels import RET_UNITS
from ofi_cvd.settings import Settings

EVENT: Final = pl.Schema({"ts_ms": pl.Int64, "event_type": pl.String, "meta_json": pl.String})


def pivots(grid: pl.LazyFrame, span_secs: int, *, is_high: bool) -> pl.LazyFrame:
    """Return the pivots confirmed on the grid, one row at each confirmation `ts_ms = c + L`.

    A high beats every price of the L seconds before c strictly and every one of the L seconds after weakly.
    """
    price = pl.col("price") if is_high else -pl.col("price")
    at = price.shift(span_secs)
    before = price.rolling_max(span_secs).shift(span_secs + 1)
    after = price.rolling_max(span_secs)
    return grid.filter((at > before) & (at >= after)).select(
        "ts_ms", is_high=pl.lit(is_high), pivot_ts_ms=pl.col("ts_ms") - span_secs * SECOND_MS
    )


def with_pivot_facts(found: pl.LazyFrame, grid: pl.LazyFrame) -> pl.LazyFrame:
    """Return pivots with the price and the running sums at the pivot itself."""
    facts = grid.select(pl.col("ts_ms").alias("pivot_ts_ms"), "price", "delta_so_far", "flow_so_far", "gaps_so_far")
    return found.join(facts, on="pivot_ts_ms", how="left", maintain_order="left")


def pivot_events(pivots: pl.LazyFrame) -> pl.LazyFrame:
    """Return `pivot_high` and `pivot_low` events."""
    name = pl.when("is_high").then(pl.lit("pivot_high")).otherwise(pl.lit("pivot_low"))
    return pivots.select("ts_ms", event_type=name, meta_json=_json("pivot_ts_ms", "price"))


def divergences(
    pivots: pl.LazyFrame, opening: CarryState, outages: Sequence[Span], settings: Settings, unit: int, *, is_high: bool
) -> pl.LazyFrame:
    """Return the divergences of consecutive pivots of one kind, price against the flow between them, per channel.

    Lower low on positive flow is bullish, higher high on negative flow bearish; hidden ones the other way round. No
    claim is made across an unrepaired outage, or where trades in between are missing.
    `unit` is how many flow units make one base asset on the ofi channel.
    """
    carried = opening.rows("pivots").with_columns(ts_ms=pl.lit(None, dtype=pl.Int64))
    pairs = (
        pl.concat([carried, pivots], how="diagonal")
        .filter(pl.col("is_high") == is_high)
        .with_columns(
            a_ts_ms=pl.col("pivot_ts_ms").shift(),
            a_price=pl.col("price").shift(),
            cvd=pl.col("delta_so_far").diff().cast(pl.Float64),
            ofi=pl.col("flow_so_far").diff().cast(pl.Float64),
        )
        .filter(
            pl.col("ts_ms").is_not_null()
            & (pl.col("pivot_ts_ms") - pl.col("a_ts_ms") <= settings.div_max_secs * 1000)
            & (pl.col("gaps_so_far").diff() == 0)
            & ~_outage_between(outages)
        )
    )
    channels = []
    for channel, channel_unit in (("cvd", UNITS), ("ofi", unit)):
        flow = ratio(pl.col(channel), channel_unit)
        channels.append(
            pairs.with_columns(channel=pl.lit(channel), flow=flow, event_type=_divergence(flow, is_high=is_high))
            .filter(pl.col("event_type").is_not_null())
            .rename({"pivot_ts_ms": "b_ts_ms", "price": "b_price"})
            .select(
                "ts_ms",
                "event_type",
                meta_json=_json("channel", "a_ts_ms", "b_ts_ms", "a_price", "b_price", "flow"),
            )
        )
    return pl.concat(channels)


def _divergence(flow: pl.Expr, *, is_high: bool) -> pl.Expr:
    step = pl.col("price") - pl.col("a_price")
    rose, fell = step > 0, step < 0
    if is_high:
        plain, hidden = rose & (flow < 0), fell & (flow > 0)
        names = ("divergence_bear", "divergence_hidden_bear")
    else:
        plain, hidden = fell & (flow > 0), rose & (flow < 0)
        names = ("divergence_bull", "divergence_hidden_bull")
    return pl.when(plain).then(pl.lit(names[0])).when(hidden).then(pl.lit(names[1]))


def _outage_between(outages: Sequence[Span]) -> pl.Expr:
    """Return whether an outage touches `(A, B]`."""
    touching = [(pl.col("pivot_ts_ms") > one.start_ms) & (pl.col("a_ts_ms") < one.end_ms) for one in outages]
    return pl.any_horizontal(touching) if touching else pl.lit(value=False)


def flow_anomalies(fusion: pl.LazyFrame, settings: Settings) -> list[pl.LazyFrame]:
    """Return the seconds that meet a rule on the fusion rows, a frame per event type, before they are debounced."""
    columns = {"anomaly_ofi": "ofi_flow_z", "anomaly_cvd": "cvd_flow_z", "anomaly_fusion": "score_z"}
    anomalies = [
        fusion.filter(pl.col(column).abs() >= settings.anomaly_z).select(
            "ts_ms", event_type=pl.lit(name), meta_json=_json(pl.col(column).alias("z"))
        )
        for name, column in columns.items()
    ]
    a, b, limit = pl.col("ofi_flow_z"), pl.col("cvd_flow_z"), settings.conflict_z
    opposed = (a.abs() >= limit) & (b.abs() >= limit) & (a * b < 0)
    conflicts = fusion.filter(opposed).select(
        "ts_ms", event_type=pl.lit("conflict"), meta_json=_json("ofi_flow_z", "cvd_flow_z")
    )
    return [*anomalies, conflicts]


def price_anomalies(grid: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    """Return the seconds whose return is beyond ANOMALY_PRICE_SIGMAS of the volatility a second before."""
    before = pl.col("rv").shift()
    ret = ratio(pl.col("ret_units"), RET_UNITS)
    limit = settings.anomaly_price_sigmas * before / float(settings.win_secs) ** 0.5
    return grid.filter((before > 0) & (ret.abs() >= limit)).select(
        "ts_ms", event_type=pl.lit("anomaly_price"), meta_json=_json(ret.alias("ret"))
    )


def debounced(candidates: pl.LazyFrame, opening: CarryState, cooldown_secs: int) -> pl.LazyFrame:
    """Return the candidates that are emitted: the last emitted of the event type is at least QUIET_SECS ago.

    A candidate that is held back does not begin a new pause, so this cannot be a shift or a window: whether one is
    emitted depends on which ones before it were.
    """
    last_emitted = dict(opening.trailing_rows["emitted"].iter_rows())

    def is_emitted(rows: pl.Series) -> pl.Series:
        last = dict(last_emitted)
        verdicts = []
        for row in rows.to_list():  # a handful of candidates, not rows of data
            event_type, ts_ms = row["event_type"], row["ts_ms"]
            emit = event_type not in last or ts_ms - last[event_type] >= cooldown_secs * 1000
            if emit:
                last[event_type] = ts_ms
            verdicts.append(emit)
        return pl.Series(verdicts, dtype=pl.Boolean)

    facts = pl.struct("event_type", "ts_ms")
    ordered = candidates.sort("ts_ms", "event_type", "meta_json")
    return ordered.filter(facts.map_batches(is_emitted, return_dtype=pl.Boolean))


def _json(*columns: str | pl.Expr) -> pl.Expr:
    """Return canonical JSON of some columns: sorted keys, no spaces, shortest round-trip floats."""

    def dump(rows: pl.Series) -> pl.Series:
        texts = [json.dumps(row, sort_keys=True, separators=(",", ":")) for row in rows.to_list()]
        return pl.Series(texts, dtype=pl.String)

    return pl.struct(*columns).map_batches(dump, return_dtype=pl.String)
