"""The coefficient is scipy's; its interval covers the truth at the stated rate, overlapping labels included."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal as filters
from scipy import stats

from ofi_cvd.analysis.ranks import codes, correlation, fixed_b_critical, spearman, standard_error

Column = npt.NDArray[np.float64]
FEW = st.lists(st.tuples(st.integers(-4, 4), st.integers(-3, 3)), min_size=3, max_size=60)


def overlapping(seed: int, n: int, horizon: int, persistence: float, slope: float = 0.0) -> tuple[Column, Column]:
    """A persistent signal and the sum of the next `horizon` returns, each `slope` times the signal before it plus noise."""
    random = np.random.default_rng(seed)
    scale = math.sqrt(1 - persistence**2)
    signal = filters.lfilter([scale], [1, -persistence], random.normal(size=n + 300))[300:]
    total = np.r_[0.0, np.cumsum(slope * signal + random.normal(size=n))]
    return signal[: n - horizon + 1], total[horizon:] - total[:-horizon]


def coverage(truth: float, runs: int, n: int, horizon: int, persistence: float, slope: float = 0.0) -> float:
    covered = 0
    for seed in range(runs):
        signal, forward = overlapping(seed, n, horizon, persistence, slope)
        times = np.arange(len(signal), dtype=np.int64) * 1000
        found = correlation(codes(signal), codes(forward), times, horizon * 1000)
        covered += found.low <= truth <= found.high
    return covered / runs


@given(FEW)
def test_the_coefficient_is_spearmans_with_ties(pairs: list[tuple[int, int]]) -> None:
    x, y = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    rho, influence = spearman(codes(x), codes(y))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(rho)
        return
    assert rho == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert influence.mean() == pytest.approx(0, abs=1e-12)


def test_influence_is_what_leaving_a_row_out_changes() -> None:
    """The jackknife is the oracle: leaving row i out moves the estimate by about -influence_i / n."""
    random = np.random.default_rng(1)
    x = np.round(random.normal(size=400), 1)
    y = np.round(x + random.normal(size=400), 1)
    rho, influence = spearman(codes(x), codes(y))
    without = [spearman(codes(np.delete(x, i)), codes(np.delete(y, i)))[0] for i in range(400)]
    np.testing.assert_allclose((rho - np.array(without)) * 399, influence, atol=0.05)


def test_ranks_of_a_subset_follow_from_codes_of_the_whole() -> None:
    random = np.random.default_rng(2)
    x, y, keep = random.normal(size=300), random.normal(size=300), random.random(300) < 0.3
    whole = spearman(codes(x)[keep], codes(y)[keep])[0]
    assert whole == pytest.approx(stats.spearmanr(x[keep], y[keep]).statistic, abs=1e-12)


@pytest.mark.parametrize(
    ("n", "horizon", "persistence"), [(1500, 1, 0.0), (2000, 30, 0.9), (2000, 100, 0.95), (6000, 300, 0.99)]
)
def test_intervals_of_a_worthless_signal_cover_zero_at_the_stated_rate(
    n: int, horizon: int, persistence: float
) -> None:
    """400 runs: the rate of a true 95 % interval lies in 0.93-0.97; overlap 2 points of slack on either side."""
    assert 0.91 <= coverage(0.0, 400, n, horizon, persistence) <= 0.985


def test_ignoring_the_overlap_would_not_cover() -> None:
    """The test above can fail: independent-row intervals of the same data cover far too rarely."""
    covered = 0
    for seed in range(100):
        signal, forward = overlapping(seed, 2000, 30, 0.9)
        rho = stats.spearmanr(signal, forward).statistic
        covered += abs(rho) < 1.96 / math.sqrt(len(signal))
    assert covered < 60


def test_intervals_of_a_real_signal_cover_its_coefficient() -> None:
    """Gaussian: Spearman = 6/pi asin(r/2) with r = slope / sqrt(slope^2 + 1)."""
    truth = 6 / math.pi * math.asin(0.5 / math.sqrt(1.25) / 2)
    assert 0.92 <= coverage(truth, 300, 1500, 1, 0.0, 0.5) <= 0.985


def test_interval_and_p_value_say_the_same() -> None:
    for seed in range(40):
        signal, forward = overlapping(seed, 800, 5, 0.5, 0.03)
        times = np.arange(len(signal), dtype=np.int64) * 1000
        found = correlation(codes(signal), codes(forward), times, 5000)
        assert (found.p_value < 0.05) == (not found.low <= 0 <= found.high)
        assert -1 < found.low < found.value < found.high < 1


def test_too_few_horizons_have_no_interval() -> None:
    signal, forward = overlapping(0, 500, 100, 0.5)
    found = correlation(codes(signal), codes(forward), np.arange(len(signal), dtype=np.int64) * 1000, 100_000)
    assert math.isfinite(found.value)
    assert math.isnan(found.low)
    assert math.isnan(found.p_value)


def test_constant_or_short_columns_have_no_coefficient() -> None:
    times = np.arange(50, dtype=np.int64) * 1000
    random = np.random.default_rng(0).normal(size=50)
    assert math.isnan(correlation(codes(np.zeros(50)), codes(random), times, 1000).value)
    assert math.isnan(correlation(codes(random[:20]), codes(random[:20]), times[:20], 1000).value)


def test_standard_error_of_independent_terms_is_the_usual_one() -> None:
    terms = np.random.default_rng(3).normal(size=20_000)
    error, critical = standard_error(terms - terms.mean(), np.arange(20_000, dtype=np.int64) * 1000, 1000)
    assert error == pytest.approx(1 / math.sqrt(20_000), rel=0.06)
    assert critical == pytest.approx(1.96, abs=0.02)


def test_critical_values_grow_with_the_bandwidth() -> None:
    """Kiefer & Vogelsang (2005): Bartlett kernel, 97.5 %: 1.96 at b -> 0 and 4.8137 at b = 1."""
    assert fixed_b_critical(0.0) == pytest.approx(stats.norm.ppf(0.975), abs=1e-4)
    assert fixed_b_critical(1.0) == pytest.approx(4.8130, abs=1e-3)
