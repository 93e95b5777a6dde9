"""Fusion (docs/specification/fusion.md): order-flow imbalance and volume delta of the same second in one score."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ofi_cvd.common.times import SECOND_MS
from ofi_cvd.features.carry import CarryState
from ofi_cvd.features.exact import SCORE_UNITS, UNITS, ceil_to, ratio
from ofi_cvd.features.gaps import Span
from ofi_cvd.features.windows import ZRule, trailing_z, with_moments


def flows(buckets: pl.LazyFrame) -> pl.LazyFrame:
    """Return a row per second `(t-1s, t]` that has an ofi row: exact sum of `ofi_value`, last mid."""
    return (
        buckets.with_columns(ts_ms=ceil_to(pl.col("ts_ms"), SECOND_MS))
        .group_by("ts_ms", maintain_order=True)
        .agg(pl.col("flow_units").sum(), pl.col("mid").last())
    )


def with_trade_flow(flows: pl.LazyFrame, seconds: pl.LazyFrame, outages: Sequence[Span]) -> pl.LazyFrame:
    """Return the flows with the second's sum of delta: 0 without a trade, null in an unrepaired trade outage."""
    inside = [(pl.col("ts_ms") > outage.start_ms) & (pl.col("ts_ms") - SECOND_MS < outage.end_ms) for outage in outages]
    unknown = pl.any_horizontal(inside) if inside else pl.lit(value=False)
    deltas = seconds.select("ts_ms", delta_units="delta_in_second")
    return flows.join(deltas, on="ts_ms", how="left", maintain_order="left").with_columns(
        delta_units=pl.when(~unknown).then(pl.col("delta_units").fill_null(0))
    )


def with_score(
    flows: pl.LazyFrame, opening: CarryState, rule: ZRule, weights: tuple[float, float], unit: int
) -> pl.LazyFrame:
    """Return the flows behind the trailing ones of the hour before, with both z, `score`, `score_z`, `consistency`."""
    scalars = opening.scalars
    both = pl.concat([opening.rows("fusion"), flows], how="diagonal")
    first_flow = _first(scalars.first_flow_ms, "flow_units")
    first_delta = _first(scalars.first_cvd_flow_ms, "delta_units")
    first_score = _first(scalars.first_score_ms, "score_units")
    score = weights[0] * pl.col("ofi_flow_z") + weights[1] * pl.col("cvd_flow_z")
    rounded = (pl.col("score") * float(SCORE_UNITS)).round().cast(pl.Int64).cast(pl.Int128)
    return (
        both.with_columns(first_flow_ms=first_flow, first_cvd_flow_ms=first_delta)
        .pipe(with_moments, "flow_units", "ts_ms", rule.window_ms)
        .pipe(with_moments, "delta_units", "ts_ms", rule.window_ms)
        .with_columns(
            ofi_flow=ratio(pl.col("flow_units"), unit),
            cvd_flow=ratio(pl.col("delta_units"), UNITS),
            ofi_flow_z=trailing_z("flow_units", "ts_ms", rule, first_ms=pl.col("first_flow_ms")),
            cvd_flow_z=trailing_z("delta_units", "ts_ms", rule, first_ms=pl.col("first_cvd_flow_ms")),
        )
        .with_columns(score=score, consistency=consistency())
        .with_columns(score_units=pl.coalesce("score_units", rounded))
        .with_columns(first_score_ms=first_score)
        .pipe(with_moments, "score_units", "ts_ms", rule.window_ms)
        .with_columns(score_z=trailing_z("score_units", "ts_ms", rule, first_ms=pl.col("first_score_ms")))
    )


def consistency() -> pl.Expr:
    """Return `2ab / (a^2 + b^2)` of the two z: 1 they agree, 0 unrelated or both 0, -1 they oppose; null with either."""
    a, b = pl.col("ofi_flow_z"), pl.col("cvd_flow_z")
    size = a * a + b * b
    return pl.when(size > 0).then(2.0 * a * b / size).when(size == 0).then(0.0)


def _first(known_ms: int | None, column: str) -> pl.Expr:
    """Return the time of the symbol's first row that has a value."""
    return pl.coalesce(pl.lit(known_ms, dtype=pl.Int64), pl.col("ts_ms").filter(pl.col(column).is_not_null()).min())
