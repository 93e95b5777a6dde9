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
    """Return the contributing updates with `flow_units` (weighted over levels, exact), `e_k` per level and the touch."""
    weighted = [pl.lit(weight, dtype=pl.Int128) * pl.col(f"e_{level}") for level, weight in enumerate(weights, 1)]
    return (
        rows.pipe(with_level_flows, len(weights))
        .filter(pl.col("contiguous") & pl.col("is_new"))
        .select(
            "ts_ms",
            pl.sum_horizontal(weighted).alias("flow_units"),
            *(f"e_{level}" for level in range(1, len(weights) + 1)),
            *touch_units(len(weights)),
            "mid",
            "spread_bps",
        )
    )


def touch_units(levels: int) -> list[pl.Expr]:
    """Return what the state columns of a bucket are made of: best prices and queues, and depths, in units of 1e-8."""
    depths = [
        pl.sum_horizontal(units(f"{side}_qty_{level}").fill_null(0) for level in range(1, levels + 1))
        for side in ("bid", "ask")
    ]
    return [
        *(units(f"{side}_{what}_1").alias(f"{side}_{what}") for side in ("bid", "ask") for what in ("px", "qty")),
        depths[0].alias("bid_depth_units"),
        depths[1].alias("ask_depth_units"),
    ]


def bucketed(updates: pl.LazyFrame, bucket_ms: int) -> pl.LazyFrame:
    """Return a row per bucket `(t-B, t]` with a contributing update: exact sums, the last update's mid and spread."""
    return (
        updates.with_columns(ts_ms=ceil_to(pl.col("ts_ms"), bucket_ms))
        .group_by("ts_ms", maintain_order=True)
        .agg(
            pl.col("flow_units", r"^e_\d+$").sum(),
            pl.len().cast(pl.Int64).alias("n_updates"),
            pl.col("mid", "spread_bps", r"^(bid|ask)_(px|qty|depth_units)$").last(),
        )
    )


def queue_imbalance() -> pl.Expr:
    """Return `(b - a) / (b + a)` of the best quantities: above 0 there is more on the bid.

    Null where a side is missing, or both quantities are 0.
    """
    bid, ask = pl.col("bid_qty"), pl.col("ask_qty")
    both = (bid + ask).cast(pl.Float64)
    return pl.when(both > 0).then((bid - ask).cast(pl.Float64) / both)


def microprice() -> pl.Expr:
    """Return `(a P_bid + b P_ask) / (a + b)` in quote asset: it leans to the ask when the bid queue is the longer one.

    Null where a side is missing, or both quantities are 0.
    """
    bid, ask, bid_px, ask_px = (pl.col(name) for name in ("bid_qty", "ask_qty", "bid_px", "ask_px"))
    both = (bid + ask).cast(pl.Float64)
    # Sizes times prices of 1e-8 each: an Int128 holds those of any market, but not those of any text that is a number.
    largest = pl.max_horizontal(bid_px, ask_px).cast(pl.Float64) * both
    exact = (ask * bid_px + bid * ask_px).cast(pl.Float64)
    rounded = ask.cast(pl.Float64) * bid_px.cast(pl.Float64) + bid.cast(pl.Float64) * ask_px.cast(pl.Float64)
    weighted = pl.when(largest < 2.0**126).then(exact).otherwise(rounded)
    return pl.when(both > 0).then(weighted / (both * float(UNITS)))


def with_book_state(buckets: pl.LazyFrame, levels: int) -> pl.LazyFrame:
    """Return the buckets with the flow of each level over the bucket, and the book after its last contributing update."""
    return buckets.with_columns(
        ofi_levels=pl.concat_list(ratio(pl.col(f"e_{level}"), UNITS) for level in range(1, levels + 1)),
        queue_imbalance=queue_imbalance(),
        microprice=microprice(),
        depth_bid=ratio(pl.col("bid_depth_units"), UNITS),
        depth_ask=ratio(pl.col("ask_depth_units"), UNITS),
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
            ofi_l1=ratio(pl.col("e_1"), UNITS),
            scale=trailing_scale("flow_units", "ts_ms", rule, unit=unit, first_ms=pl.col("first_ofi_ms")),
            ofi_z=trailing_z("flow_units", "ts_ms", rule, first_ms=pl.col("first_ofi_ms")),
        )
    )
