"""Cumulative volume delta and its scales (docs/specification/cvd.md), one row per trade."""

from __future__ import annotations

from typing import Final

import polars as pl

from ofi_cvd.common.times import DAY_MS
from ofi_cvd.features.carry import CarryState
from ofi_cvd.features.exact import UNITS, ratio
from ofi_cvd.features.trades import is_behind_gap
from ofi_cvd.features.windows import ZRule, trailing_scale, trailing_z, with_moments
from ofi_cvd.settings import Settings

MAD_TO_SIGMA: Final = 1.4826  # median absolute deviation of a normal, to its standard deviation
_SIZES: Final = ("size_sum_fast", "size_count_fast", "size_sum_slow", "size_count_slow")


def with_cvd(
    trades: pl.LazyFrame, opening: CarryState, settings: Settings, *, hour_ms: int, outage_ends_ms: list[int]
) -> pl.LazyFrame:
    """Return an hour's trades with every column of the `cvd` table that is not a label."""
    reset_ms = hour_ms // DAY_MS * DAY_MS if settings.cvd_reset == "utc_day" else None
    resets_here = reset_ms == hour_ms
    complete = opens_complete(opening, settings, resets_here=resets_here)
    summed = trades.pipe(with_running_sum, 0 if resets_here else opening.scalars.cvd_units).pipe(
        with_completeness, complete_before=complete, outage_ends_ms=outage_ends_ms
    )
    if settings.z_mode == "level":
        scaled = summed.pipe(with_level_scale, opening, settings, reset_ms=reset_ms)
    else:
        scaled = (
            summed.pipe(with_mean_size, opening, settings)
            .pipe(with_median_size, opening, settings)
            .pipe(with_delta_scale, settings)
        )
    limit = settings.winsor_limit
    return scaled.with_columns(
        cvd=ratio(pl.col("cvd_units"), UNITS),
        delta=ratio(pl.col("delta_units"), UNITS),
        z_cvd=pl.col("z_raw").clip(-limit, limit),
    )


def opens_complete(opening: CarryState, settings: Settings, *, resets_here: bool) -> bool:
    """Return whether the sum an hour opens with is known to hold every trade since its reset.

    See docs/specification/cvd.md.
    """
    scalars = opening.scalars
    if resets_here:
        return scalars.trades_so_far > 0
    return settings.cvd_reset == "never" if scalars.cvd_complete is None else scalars.cvd_complete


def with_running_sum(trades: pl.LazyFrame, opening_units: int) -> pl.LazyFrame:
    """Return the hour's trades with `cvd_units`: the exact running sum of delta, from what the day had before."""
    return trades.with_columns(cvd_units=pl.col("delta_units").cum_sum() + pl.lit(opening_units, dtype=pl.Int128))


def with_completeness(trades: pl.LazyFrame, *, complete_before: bool, outage_ends_ms: list[int]) -> pl.LazyFrame:
    """Return the trades with `cvd_complete`: false from an unrepaired gap or outage of this hour on.

    See docs/specification/cvd.md.
    """
    passed = (
        pl.any_horizontal(pl.col("ts_ms") >= end for end in outage_ends_ms) if outage_ends_ms else pl.lit(value=False)
    )
    broken = (is_behind_gap() | passed).cum_max()
    return trades.with_columns(cvd_complete=pl.lit(complete_before) & ~broken)


def with_mean_size(trades: pl.LazyFrame, opening: CarryState, settings: Settings) -> pl.LazyFrame:
    """Return the trades with the decayed sums S and N of both half-lives, and their ratio *before* each trade.

    The sums include the trade itself and are carried across hours; `mean_fast`, `mean_slow` are those of the trade before,
    since decay to the current trade's time cancels in the ratio.
    """
    scalars = opening.scalars
    size = ratio(pl.col("delta_units").abs(), UNITS)
    rows = trades.with_columns(
        size_sum_fast=size, size_count_fast=1.0, size_sum_slow=size, size_count_slow=1.0, is_carried=pl.lit(value=False)
    )
    carried = pl.LazyFrame(
        {"ts_ms": [scalars.last_trade_ms], **{name: [getattr(scalars, name)] for name in _SIZES}, "is_carried": [True]},
        schema_overrides={"ts_ms": pl.Int64},
    )
    both = pl.concat([carried, rows], how="diagonal") if scalars.trades_so_far else rows
    half_lives = {"fast": settings.fast_half_life_sec, "slow": settings.half_life_sec}
    decayed = {
        name: pl.col(name).ewm_sum_by("ts_ms", half_life=f"{round(half_lives[name.rpartition('_')[2]] * 1000)}i")
        for name in _SIZES
    }
    return (
        both.with_columns(**decayed)
        .with_columns(
            mean_fast=(pl.col("size_sum_fast") / pl.col("size_count_fast")).shift(),
            mean_slow=(pl.col("size_sum_slow") / pl.col("size_count_slow")).shift(),
        )
        .filter(~pl.col("is_carried"))
        .drop("is_carried")
    )


def with_median_size(trades: pl.LazyFrame, opening: CarryState, settings: Settings) -> pl.LazyFrame:
    """Return the trades with `median_size` of the previous MAD_WINDOW_TRADES trades and `trades_before`."""
    tail = (
        opening.rows("trades")
        .tail(settings.mad_window_trades)
        .select("ts_ms", "delta_units", is_carried=pl.lit(value=True))
    )
    sizes = pl.concat([tail, trades.with_columns(is_carried=pl.lit(value=False))], how="diagonal")
    median = ratio(pl.col("delta_units").abs(), UNITS).rolling_median(settings.mad_window_trades, min_samples=1).shift()
    return (
        sizes.with_columns(median_size=median)
        .filter(~pl.col("is_carried"))
        .with_columns(trades_before=pl.int_range(pl.len(), dtype=pl.Int64) + opening.scalars.trades_so_far)
        .drop("is_carried")
    )


def with_delta_scale(trades: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    """Return the trades with `sigma_floor, scale, floor_used, z_raw` of `Z_MODE=delta`; null until MAD_MIN_TRADES trades.

    Everything is taken before the current trade. `SCALE_MODE=ewma` uses the slow mean alone, with a floor of 0.
    """
    fast = settings.scale_fast_weight
    if settings.scale_mode == "hybrid":
        mix = fast * pl.col("mean_fast") + (1.0 - fast) * pl.col("mean_slow")
        floor = settings.mad_multiplier * MAD_TO_SIGMA * pl.col("median_size")
    else:
        mix, floor = pl.col("mean_slow"), pl.lit(0.0)
    known = pl.col("trades_before") >= settings.mad_min_trades
    delta = ratio(pl.col("delta_units"), UNITS)
    used = floor >= mix if settings.scale_mode == "hybrid" else pl.lit(value=False)
    return trades.with_columns(
        sigma_floor=pl.when(known).then(floor),
        scale=pl.when(known).then(pl.max_horizontal(mix, floor)),
        floor_used=pl.when(known).then(used),
    ).with_columns(z_raw=delta / pl.col("scale"))


def with_level_scale(
    trades: pl.LazyFrame, opening: CarryState, settings: Settings, *, reset_ms: int | None
) -> pl.LazyFrame:
    """Return the same columns for `Z_MODE=level`: the standard score of `cvd` among the trailing trades since the reset."""
    # The window reaches back Z_WIN_SECS like every other, needs Z_MIN_ROWS trades, no minimum age and no clip here.
    rule = ZRule(settings.z_win_secs * 1000, settings.z_min_rows, 0, float("inf"))
    tail = opening.rows("trades").select("ts_ms", "cvd_units", is_carried=pl.lit(value=True))
    if reset_ms is not None:
        # A window longer than an hour reaches behind a reset that is some hours old: what is there are other sums.
        tail = tail.filter(pl.col("ts_ms") >= reset_ms)
    rows = trades.with_columns(is_carried=pl.lit(value=False))
    both = pl.concat([tail, rows], how="diagonal")
    known, first_ms = pl.col("cvd_units_rows") >= rule.min_rows, pl.lit(0, dtype=pl.Int64)
    return (
        both.pipe(with_moments, "cvd_units", "ts_ms", rule.window_ms)
        .with_columns(
            scale=trailing_scale("cvd_units", "ts_ms", rule, unit=UNITS, first_ms=first_ms),
            z_raw=trailing_z("cvd_units", "ts_ms", rule, first_ms=first_ms),
            sigma_floor=pl.when(known).then(0.0),
            floor_used=pl.when(known).then(pl.lit(value=False)),
        )
        .filter(~pl.col("is_carried"))
        .drop("is_carried")
    )
