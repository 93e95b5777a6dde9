"""Order-flow imbalance (SPEC 5): Cont, Kukanov & Stoikov (2014), per level as in Xu, Gould & Howison (2019)."""

from __future__ import annotations

import polars as pl

from ofi_cvd.build.exact import UNITS, ceil_to, negated, ratio, units
from ofi_cvd.build.state import Opening
from ofi_cvd.build.windows import ZRule, trailing_scale, trailing_z


def queue_flow(price: pl.Expr, queue: pl.Expr) -> pl.Expr:
    """Return what the queue of one side gained, for prices oriented so that a larger one is better.

    `q_n` if the price rose, `-q_(n-1)` if it fell, `q_n - q_(n-1)` if unchanged; 0 where the level is missing now or
    before. In the units of `queue`.
    """
    step = price.diff()
    flow = pl.when(step > 0).then(queue).when(step < 0).then(negated(queue.shift())).otherwise(queue.diff())
    return pl.when(step.is_not_null() & queue.diff().is_not_null()).then(flow).otherwise(pl.lit(0, dtype=pl.Int128))


def level_flow(level: int) -> pl.Expr:
    """Return `e_k` of an update in units of 1e-8: flow of the bid minus flow of the ask, where a lower ask is better."""
    bid = queue_flow(units(f"bid_px_{level}"), units(f"bid_qty_{level}"))
    ask = queue_flow(negated(units(f"ask_px_{level}")), units(f"ask_qty_{level}"))
    return bid - ask


def contributions(linked: pl.LazyFrame, weights: list[int]) -> pl.LazyFrame:
    """Return the contributing updates with `flow_units` (weighted over levels, exact) and `flow_units_1` (best level)."""
    per_level = {f"e_{level}": level_flow(level) for level in range(1, len(weights) + 1)}
    weighted = [pl.lit(weight, dtype=pl.Int128) * pl.col(name) for name, weight in zip(per_level, weights, strict=True)]
    return (
        linked.with_columns(**per_level)
        .filter(pl.col("contiguous") & pl.col("is_new"))
        .select(
            "ts_ms",
            pl.sum_horizontal(weighted).alias("flow_units"),
            pl.col("e_1").alias("flow_units_1"),
            "mid",
            "spread_bps",
        )
    )


def bucketed(updates: pl.LazyFrame, bucket_ms: int) -> pl.LazyFrame:
    """Return a row per bucket `(t-B, t]` with a contributing update: exact sums, the last update's mid and spread."""
    return (
        updates.with_columns(ts_ms=ceil_to(pl.col("ts_ms"), bucket_ms))
        .group_by("ts_ms", maintain_order=True)
        .agg(
            pl.col("flow_units", "flow_units_1").sum(),
            pl.len().cast(pl.Int64).alias("n_updates"),
            pl.col("mid", "spread_bps").last(),
        )
    )


def with_scores(buckets: pl.LazyFrame, opening: Opening, rule: ZRule, unit: int) -> pl.LazyFrame:
    """Return the buckets behind the trailing ones of the hour before, with `ofi_value`, `ofi_l1`, `scale`, `ofi_z`.

    `unit` is how many `flow_units` make one base asset: 1e8 times the sum of the integer weights.
    """
    first_ms = pl.coalesce(pl.lit(opening.marks.first_ofi_ms, dtype=pl.Int64), pl.col("ts_ms").min())
    flow = pl.col("flow_units")
    return pl.concat([opening.tail("ofi"), buckets], how="diagonal").with_columns(
        first_ofi_ms=first_ms,
        ofi_value=ratio(flow, unit),
        ofi_l1=ratio(pl.col("flow_units_1"), UNITS),
        scale=trailing_scale(flow, "ts_ms", rule, unit=unit, first_ms=first_ms),
        ofi_z=trailing_z(flow, "ts_ms", rule, first_ms=first_ms),
    )
