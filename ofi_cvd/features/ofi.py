"""Order-flow imbalance: Cont, Kukanov & Stoikov (2014), per level as in Xu, Gould & Howison (2019).

See docs/specification/ofi.md.
"""

from __future__ import annotations

import polars as pl

from ofi_cvd.features.carry import CarryState
from ofi_cvd.features.exact import UNITS, ceil_to, negated, ratio, units
from ofi_cvd.features.windows import ZRule, trailing_scale, trailing_z, with_moments


def queue_flow(step: pl.Expr, queue: pl.Expr, change: pl.Expr) -> pl.Expr:
    """Return what the queue of one side gained at an update.

    `q_n` if the price got better, `-q_(n-1)` if it got worse, `q_n - q_(n-1)` if unchanged; 0 where the level is missing
    now or before. In the units of `queue`.

    Args:
        step: by how much the price got better since the update before (a lower ask is better).
        queue: quantity at the price now.
        change: quantity now minus quantity before.
    """
    lost = change - queue  # minus the queue before; Int128 has no unary minus
    flow = pl.when(step > 0).then(queue).when(step < 0).then(lost).otherwise(change)
    return pl.when(step.is_not_null()).then(flow).otherwise(pl.lit(0, dtype=pl.Int128))


def with_level_flows(rows: pl.LazyFrame, levels: int) -> pl.LazyFrame:
    """Return the updates with `e_k` for level k in 1..levels, in units of 1e-8: flow of the bid minus flow of the ask."""
    sides = [f"{side}_{{}}_{level}" for level in range(1, levels + 1) for side in ("bid", "ask")]
    queues = [units(side.format("qty")).alias(side.format("queue")) for side in sides]
    steps = [units(side.format("px")).diff().alias(side.format("step")) for side in sides]
    changes = [pl.col(side.format("queue")).diff().alias(side.format("change")) for side in sides]

    def flow(side: str, level: int) -> pl.Expr:
        step, queue, change = (pl.col(f"{side}_{name}_{level}") for name in ("step", "queue", "change"))
        return queue_flow(step if side == "bid" else negated(step), queue, change)

    flows = {f"e_{level}": flow("bid", level) - flow("ask", level) for level in range(1, levels + 1)}
    # Steps rather than one expression: the planner would look at every repetition of it.
    return rows.with_columns(*queues, *steps).with_columns(*changes).with_columns(**flows)


def contributions(rows: pl.LazyFrame, weights: list[int]) -> pl.LazyFrame:
    """Return the contributing updates with `flow_units` (weighted over levels, exact) and `flow_units_1` (best level)."""
    weighted = [pl.lit(weight, dtype=pl.Int128) * pl.col(f"e_{level}") for level, weight in enumerate(weights, 1)]
    return (
        rows.pipe(with_level_flows, len(weights))
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


def with_scores(buckets: pl.LazyFrame, opening: CarryState, rule: ZRule, unit: int) -> pl.LazyFrame:
    """Return the buckets behind the trailing ones of the hour before, with `ofi_value`, `ofi_l1`, `scale`, `ofi_z`.

    `unit` is how many `flow_units` make one base asset: 1e8 times the sum of the integer weights.
    """
    first_ms = pl.coalesce(pl.lit(opening.scalars.first_ofi_ms, dtype=pl.Int64), pl.col("ts_ms").min())
    return (
        pl.concat([opening.rows("ofi"), buckets], how="diagonal")
        .with_columns(first_ofi_ms=first_ms)
        .pipe(with_moments, "flow_units", "ts_ms", rule.window_ms)
        .with_columns(
            ofi_value=ratio(pl.col("flow_units"), unit),
            ofi_l1=ratio(pl.col("flow_units_1"), UNITS),
            scale=trailing_scale("flow_units", "ts_ms", rule, unit=unit, first_ms=pl.col("first_ofi_ms")),
            ofi_z=trailing_z("flow_units", "ts_ms", rule, first_ms=pl.col("first_ofi_ms")),
        )
    )
