"""Means of quintiles are plain means; their intervals cover the truth though labels overlap."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ofi_cvd.analysis.quintiles import quintile_intervals

RANDOM = np.random.default_rng(11)


def seconds(n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(n, dtype=np.int64) * 1000


def test_means_and_counts_are_those_of_a_loop() -> None:
    quintile = RANDOM.integers(-1, 5, 2000)
    forward = RANDOM.normal(size=2000) * 1e-4
    for row in quintile_intervals(quintile, forward, seconds(2000), 1000):
        own = [f * 1e4 for q, f in zip(quintile, forward, strict=True) if q == row["quintile"] - 1]
        assert row["n"] == len(own)
        assert row["mean_bps"] == pytest.approx(math.fsum(own) / len(own))
        independent = 1.96 * np.std(own) / math.sqrt(len(own))  # nothing overlaps, so the textbook's interval is near
        assert row["hi_bps"] - row["mean_bps"] == pytest.approx(independent, rel=0.35)
        assert row["mean_bps"] - row["lo_bps"] == pytest.approx(row["hi_bps"] - row["mean_bps"])


def test_intervals_cover_the_truth_though_labels_overlap() -> None:
    """Returns over 20 s of a random walk, every second, beside a persistent worthless signal: the true mean is zero."""
    horizon, n, runs = 20, 3000, 120
    covered = naive = 0
    for _ in range(runs):
        steps = RANDOM.normal(size=n + horizon)
        forward = (np.cumsum(steps)[horizon:] - np.cumsum(steps)[:-horizon]) * 1e-4
        walk = np.convolve(RANDOM.normal(size=n + 50), np.exp(-np.arange(50) / 10), "valid")[:n]
        quintile = np.searchsorted(np.quantile(walk, [0.2, 0.4, 0.6, 0.8]), walk)
        top = quintile_intervals(quintile, forward, seconds(n), horizon * 1000)[4]
        covered += top["lo_bps"] < 0 < top["hi_bps"]
        own = forward[quintile == 4] * 1e4
        naive += abs(own.mean()) < 1.96 * own.std() / math.sqrt(len(own))
    assert covered / runs > 0.89
    assert naive / runs < 0.7  # rows taken for independent would cover far too rarely


def test_what_is_not_known_has_no_interval() -> None:
    quintile = np.array([0] * 29 + [4] * 200 + [-1] * 10)
    rows = quintile_intervals(quintile, np.full(239, 2e-4), seconds(239), 1000)
    assert [row["n"] for row in rows] == [29, 0, 0, 0, 200]
    assert rows[0]["mean_bps"] == pytest.approx(2.0)
    assert math.isnan(rows[0]["lo_bps"])
    assert math.isnan(rows[1]["mean_bps"])
    assert not math.isnan(rows[4]["lo_bps"])
    short = quintile_intervals(quintile, np.full(239, 2e-4), seconds(239), 60_000)
    assert all(math.isnan(row["hi_bps"]) for row in short)  # fewer than eight horizons
    assert quintile_intervals(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), 1000)[0]["n"] == 0
