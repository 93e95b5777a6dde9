"""The information coefficient and its interval: Spearman's correlation when labels overlap.

The correlation is an average in disguise: its influence function says how much each row moved it. Overlapping labels make the
rows dependent, so the variance of that average is taken by Newey and West (1987) over time bins, and the critical value is
that of Kiefer and Vogelsang (2005), who account for how few bandwidths fit into the sample. Deterministic, and one pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ofi_cvd.analysis.arrays import bins_of
from ofi_cvd.dataset.arrays import Floats, Ints

MIN_ROWS = 30
MOST_BINS = 8192
BANDWIDTH_HORIZONS = 6
FEWEST_HORIZONS = 8


@dataclass(frozen=True)
class Estimate:
    """A correlation with its 95 % interval and two-sided p-value against zero; NaN where not known."""

    value: float
    low: float
    high: float
    p_value: float


UNKNOWN = Estimate(math.nan, math.nan, math.nan, math.nan)


def codes(values: Floats) -> Ints:
    """Return dense ranks from 0: equal values share one. Ranks of any subset follow from them by counting."""
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


def spearman(x: Ints, y: Ints) -> tuple[float, Floats]:
    """Return Spearman's correlation of two columns of dense ranks and the influence of each row on it.

    Ties share their middle rank. The influences have mean zero; the variance of their mean is that of the estimate. They carry
    the terms of the estimated ranks and variances, so the interval holds away from zero too. NaN where a column is constant.
    """
    rank_x, above_x = _middle_ranks(x)
    rank_y, above_y = _middle_ranks(y)
    var_x, var_y = float(np.mean(rank_x**2)), float(np.mean(rank_y**2))
    if var_x <= 0 or var_y <= 0:
        return math.nan, np.full(len(x), np.nan)
    product = rank_x * rank_y
    rho = float(np.mean(product)) / math.sqrt(var_x * var_y)
    covariance = product + above_x(rank_y) + above_y(rank_x)
    spread_x = rank_x**2 + 2 * above_x(rank_x)
    spread_y = rank_y**2 + 2 * above_y(rank_y)
    influence = covariance / math.sqrt(var_x * var_y) - rho / 2 * (spread_x / var_x + spread_y / var_y)
    return rho, influence - influence.mean()


class _Above:
    """Mean over all rows of `weight` times (1 where the row's value is larger, 1/2 where equal), for each row."""

    def __init__(self, group: Ints, size: int) -> None:
        self.group, self.size = group, size

    def __call__(self, weight: Floats) -> Floats:
        sums = np.bincount(self.group, weights=weight, minlength=self.size)
        above: Floats = sums.sum() - np.cumsum(sums) + sums / 2
        return np.asarray(above[self.group] / len(self.group), dtype=np.float64)


def _middle_ranks(group: Ints) -> tuple[Floats, _Above]:
    """Return middle ranks scaled to mean 0 and width 1, and the operator of the influence function."""
    counts = np.bincount(group)
    n = len(group)
    middle = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(middle[group] / n - (n + 1) / (2 * n), dtype=np.float64), _Above(group, len(counts))


def correlation(x: Ints, y: Ints, times: Ints, horizon_ms: int) -> Estimate:
    """Return the information coefficient of dense ranks `x`, `y` observed at `times` with labels `horizon_ms` long.

    The interval is null where the rows span fewer than eight horizons: then there is next to no independent label in them.
    """
    if len(x) < MIN_ROWS:
        return UNKNOWN
    rho, influence = spearman(x, y)
    if not math.isfinite(rho):
        return UNKNOWN
    error, critical = standard_error(influence, times, horizon_ms)
    if not math.isfinite(error) or abs(rho) >= 1:
        return Estimate(rho, math.nan, math.nan, math.nan)
    # Fisher's scale: the interval stays inside (-1, 1), and excludes 0 exactly where p < 0.05.
    centre, half = math.atanh(rho), critical * error / (1 - rho**2)
    p_value = 2 * float(stats.norm.sf(abs(centre) / half * stats.norm.ppf(0.975))) if half > 0 else math.nan
    return Estimate(rho, math.tanh(centre - half), math.tanh(centre + half), p_value)


def standard_error(influence: Floats, times: Ints, horizon_ms: int) -> tuple[float, float]:
    """Return the Newey-West standard error of a mean whose terms overlap by `horizon_ms`, and its 97.5 % critical value.

    Args:
        influence: terms with mean zero.
        times: their times, sorted.
        horizon_ms: length of the overlap.
    """
    span = int(times[-1] - times[0]) + 1
    width = max(horizon_ms // 4, span // MOST_BINS, 1)
    index, occupied = bins_of(times, width)
    if occupied * width < FEWEST_HORIZONS * horizon_ms or occupied < FEWEST_HORIZONS:
        return math.nan, math.nan
    sums = np.bincount(index, weights=influence)
    lags = max(1, min(-(-BANDWIDTH_HORIZONS * horizon_ms // width), occupied // 4 - 1))
    total = float(sums @ sums)
    for lag in range(1, lags + 1):
        total += 2 * (1 - lag / (lags + 1)) * float(sums[lag:] @ sums[:-lag])
    return math.sqrt(max(total, 0.0)) / len(influence), fixed_b_critical((lags + 1) / occupied)


def fixed_b_critical(share: float) -> float:
    """Return the 97.5 % point of a Bartlett-kernel t-statistic whose bandwidth is `share` of the sample.

    1.96 for a vanishing share. Kiefer & Vogelsang (2005), "A New Asymptotic Theory for Heteroskedasticity-Autocorrelation
    Robust Tests", Econometric Theory 21, table 1.
    """
    return 1.9600 + 2.9694 * share + 0.4160 * share**2 - 0.5324 * share**3
