"""Labels on a 1 s grid per symbol, from trades only; and where each row of a table takes them.

See docs/specification/labels.md.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Final

import polars as pl

from ofi_cvd.common.times import HOUR_MS, SECOND_MS
from ofi_cvd.features.carry import CarryState
from ofi_cvd.features.exact import ceil_to, ratio
from ofi_cvd.features.trades import is_behind_gap
from ofi_cvd.settings import Settings

RET_UNITS: Final = 10**12
"""Log returns are rounded to 1e-12 and squared as integers: a constant price has a volatility of exactly 0."""


def per_second(trades: pl.LazyFrame) -> pl.LazyFrame:
    """Return a row per second `(t-1s, t]` with a trade: last price, number, exact sum of delta, gaps that ended."""
    return (
        trades.with_columns(ts_ms=ceil_to(pl.col("ts_ms"), SECOND_MS))
        .group_by("ts_ms", maintain_order=True)
        .agg(
            pl.col("price").last(),
            pl.len().cast(pl.Int64).alias("trades"),
            pl.col("delta_units").sum().alias("delta_in_second"),
            is_behind_gap().sum().cast(pl.Int64).alias("gaps_in_second"),
        )
    )


def grid(seconds: pl.LazyFrame, flows: pl.LazyFrame, opening: CarryState, first_ms: int, end_ms: int) -> pl.LazyFrame:
    """Return the grid seconds `[first_ms, end_ms)` behind the trailing ones of the hour before, without holes.

    `price` is the last trade's at or before t; `ret_units` its log return in 1e-12, 0 on the first grid second;
    `delta_so_far`, `flow_so_far`, `gaps_so_far` are running sums: over any span their difference counts.
    """
    clock = pl.LazyFrame({"ts_ms": pl.int_range(first_ms, end_ms, SECOND_MS, dtype=pl.Int64, eager=True)})
    fresh = clock.join(seconds, on="ts_ms", how="left", maintain_order="left").join(
        flows.select("ts_ms", flow_in_second="flow_units"), on="ts_ms", how="left", maintain_order="left"
    )
    both = pl.concat([opening.rows("grid"), fresh], how="diagonal")
    log_price = pl.col("price").log()
    return (
        both.with_columns(pl.col("price").forward_fill(), pl.col("trades").fill_null(0))
        .with_columns(
            ret_units=pl.coalesce("ret_units", (log_price.diff() * float(RET_UNITS)).round().cast(pl.Int64), pl.lit(0))
        )
        .with_columns(
            delta_so_far=_running("delta_so_far", "delta_in_second"),
            flow_so_far=_running("flow_so_far", "flow_in_second"),
            gaps_so_far=_running("gaps_so_far", "gaps_in_second"),
        )
    )


def with_volatility(grid: pl.LazyFrame, first_grid_ms: int, win_secs: int) -> pl.LazyFrame:
    """Return the grid with `rv` and `trades_in_window` over the last WIN_SECS seconds, null until the grid is that old.

    `rv` is the square root of an exact sum of squared log returns (no unit).
    """
    is_known = pl.col("ts_ms") - first_grid_ms >= win_secs * 1000
    squares = pl.col("ret_units").cast(pl.Int128).pow(2).rolling_sum(win_secs, min_samples=1)
    # The root is taken of an integer and divided once: a window of equal prices has a sum, and so an rv, of exactly 0.
    root = squares.cast(pl.Float64).sqrt()
    return grid.with_columns(
        rv=pl.coalesce("rv", pl.when(is_known).then(ratio(root, RET_UNITS))),
        trades_in_window=pl.when(is_known).then(pl.col("trades").rolling_sum(win_secs, min_samples=1)),
    )


def with_labels(history: pl.LazyFrame, settings: Settings, symbol: str, first_grid_ms: int) -> pl.LazyFrame:
    """Return up to a day of `rv` and `trades_in_window` with `regime` and `vol_bucket`, null in warm-up."""
    window, lookback = settings.win_secs, settings.vol_lookback_secs
    age_ms = pl.col("ts_ms") - first_grid_ms
    active = _is_active(settings.for_symbol("active_tps", symbol) or "2.0", window, lookback)
    return history.with_columns(
        regime=pl.when(age_ms >= window * 1000).then(pl.when(active).then(pl.lit("Active")).otherwise(pl.lit("Quiet"))),
        vol_bucket=pl.when(age_ms >= (window + settings.vol_min_secs) * 1000).then(
            _vol_bucket(settings.vol_split, lookback)
        ),
    )


def without_outages(grid: pl.LazyFrame, outage_ends_ms: list[int], win_secs: int) -> pl.LazyFrame:
    """Return the grid with its labels nulled for WIN_SECS after each unrepaired trade outage, and `scenario_2x2`."""
    end = pl.col("ts_ms")
    recent = [(end - win_secs * 1000 < outage) & (end >= outage) for outage in outage_ends_ms]
    unknown = pl.any_horizontal(recent) if recent else pl.lit(value=False)
    return grid.with_columns(
        pl.when(~unknown).then(pl.col(label)).alias(label) for label in ("regime", "vol_bucket")
    ).with_columns(scenario_2x2=scenario_2x2())


def scenario_2x2() -> pl.Expr:
    """Return the first letters of regime and volatility, `A_H` .. `Q_L`; null where either is."""
    return pl.concat_str(pl.col("regime").str.head(1), pl.lit("_"), pl.col("vol_bucket").str.head(1))


def session(settings: Settings) -> pl.Expr:
    """Return the trading session of `ts_ms` by UTC hour; null in no session or where sessions are not wanted."""
    if not settings.write_session_labels:
        return pl.lit(None, dtype=pl.String)
    hour = pl.col("ts_ms").floordiv(HOUR_MS).mod(24)
    name: pl.Expr = pl.lit(None, dtype=pl.String)
    for part in settings.session_hours.split(","):
        label, _, hours = part.strip().partition("=")
        start, _, end = hours.partition("-")
        name = pl.when((hour >= int(start)) & (hour < int(end))).then(pl.lit(label)).otherwise(name)
    return name


def labelled(table: pl.LazyFrame, grid: pl.LazyFrame, settings: Settings, symbol: str) -> pl.LazyFrame:
    """Return a table with the labels of `floor(ts/1s)` on each row."""
    labels = grid.select(pl.col("ts_ms").alias("label_ms"), "regime", "vol_bucket", "scenario_2x2")
    return (
        table.with_columns(label_ms=pl.col("ts_ms").floordiv(SECOND_MS) * SECOND_MS)
        .join(labels, on="label_ms", how="left", maintain_order="left")
        .with_columns(
            session=session(settings),
            fee_tier=pl.lit(settings.for_symbol("fee_tier", symbol), dtype=pl.String),
            symbol=pl.lit(symbol),
        )
    )


def _running(total: str, step: str) -> pl.Expr:
    """Continue a carried running total over the fresh rows."""
    fresh = pl.when(pl.col(total).is_null()).then(pl.col(step).fill_null(0)).otherwise(0)
    return pl.col(total).forward_fill().fill_null(0) + fresh.cum_sum()


def _is_active(active_tps: str, window_secs: int, lookback_secs: int) -> pl.Expr:
    """Compare counts, not rates: a rate of 2.0 over 300 s is 600 trades or more."""
    count = pl.col("trades_in_window")
    if active_tps.startswith("q"):
        split = count.cast(pl.Float64).rolling_quantile(
            float(active_tps[1:]), "linear", window_size=lookback_secs, min_samples=1
        )
        return count > split
    least = (Decimal(active_tps) * window_secs).to_integral_value(ROUND_CEILING)
    return count >= int(least)


def _vol_bucket(vol_split: float, lookback_secs: int) -> pl.Expr:
    split = pl.col("rv").rolling_quantile(vol_split, "linear", window_size=lookback_secs, min_samples=1)
    return pl.when(pl.col("rv") > split).then(pl.lit("High")).otherwise(pl.lit("Low"))
