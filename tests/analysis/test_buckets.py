"""Quintiles, tails and thresholds against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ofi_cvd.analysis.buckets import THRESHOLDS, place, quintile_means, tail_means, threshold_scan
from ofi_cvd.analysis.folds import walk_forward

RANDOM = np.random.default_rng(8)
N = 1000
TIMES = np.arange(N, dtype=np.int64) * 1000
SIGNAL = RANDOM.normal(size=N)
FORWARD = (0.5 * SIGNAL + RANDOM.normal(size=N)) * 1e-4
ALL = np.ones(N, dtype=np.bool_)
SPLIT = list(walk_forward(TIMES, 1000, 5))


def test_quintiles_use_the_edges_of_the_past() -> None:
    placed = place(SIGNAL, SPLIT)
    for fold in SPLIT:
        edges = np.quantile(SIGNAL[: fold.train], [0.2, 0.4, 0.6, 0.8])
        for i in range(fold.test_from, fold.test_to):
            assert placed.quintile[i] == sum(SIGNAL[i] > edge for edge in edges)
    assert (placed.quintile[:200] == -1).all()


def test_means_rise_with_a_planted_signal_and_tau_says_so() -> None:
    means, tau = quintile_means(place(SIGNAL, SPLIT).quintile, FORWARD)
    judged = place(SIGNAL, SPLIT).quintile == 4
    assert means[4] == pytest.approx(FORWARD[judged].mean() * 1e4)
    assert tau == 1.0
    assert quintile_means(place(-SIGNAL, SPLIT).quintile, FORWARD)[1] == -1.0


def test_an_empty_quintile_is_not_known() -> None:
    means, tau = quintile_means(np.array([0, 0, 4]), np.array([1e-4, 3e-4, 5e-4]))
    assert means[[0, 4]] == pytest.approx([2.0, 5.0])
    assert np.isnan(means[1:4]).all()
    assert math.isnan(tau)


def test_cost_works_against_both_tails() -> None:
    placed = place(SIGNAL, SPLIT)
    top, bottom = tail_means(placed, ALL, FORWARD, 0.0)
    dear_top, dear_bottom = tail_means(placed, ALL, FORWARD, 3.0)
    assert top > 0 > bottom  # as published: the bottom falls
    assert dear_top == pytest.approx(top - 3.0)
    assert dear_bottom == pytest.approx(bottom + 3.0)
    assert 0.02 < placed.top[200:].mean() < 0.09


def test_threshold_scan_is_the_loop() -> None:
    signal = np.where(np.arange(N) % 50 == 0, 0.75, SIGNAL)  # a signal exactly on a threshold meets it
    for row in threshold_scan(signal, FORWARD, 2.0):
        taken = [(s, f) for s, f in zip(signal, FORWARD, strict=True) if abs(s) >= row["threshold"]]
        gains = [math.copysign(1, s) * f * 1e4 for s, f in taken]
        assert row["n"] == len(taken)
        assert row["n_long"] == sum(s > 0 for s, _ in taken)
        assert row["mean_bps"] == pytest.approx(np.mean(gains))
        assert row["net_bps"] == pytest.approx(np.mean(gains) - 2.0)
        assert row["hit_rate"] == pytest.approx(np.mean([g > 0 for g in gains]))


def test_thresholds_run_from_a_half_to_three() -> None:
    assert (THRESHOLDS[0], THRESHOLDS[-1], len(THRESHOLDS)) == (0.5, 3.0, 11)


def test_a_threshold_nobody_meets_has_no_mean() -> None:
    last = threshold_scan(np.full(40, 0.6), np.full(40, 1e-4), 0.0)[-1]
    assert last["n"] == 0
    assert math.isnan(last["mean_bps"])
