"""Scores of direction against counting loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from ofi_cvd.analysis.folds import walk_forward
from ofi_cvd.analysis.ranks import codes
from ofi_cvd.analysis.scores import calibration_error, chances_of_up, direction, ranking_quality

RANDOM = np.random.default_rng(5)
SIGNAL = np.round(RANDOM.normal(size=300), 1)
FORWARD = np.where(RANDOM.random(300) < 0.2, 0.0, 0.3 * SIGNAL + RANDOM.normal(size=300))
NONE = np.full(300, np.nan)


def test_hit_rate_and_auc_are_what_counting_gives() -> None:
    moved = [(s, f > 0) for s, f in zip(SIGNAL, FORWARD, strict=True) if f != 0]
    said = [(s > 0) == up for s, up in moved if s != 0]
    ups, downs = [s for s, up in moved if up], [s for s, up in moved if not up]
    wins = sum(1.0 if u > d else 0.5 if u == d else 0.0 for u in ups for d in downs)
    score = direction(SIGNAL, codes(SIGNAL), FORWARD, NONE)
    assert score.hit_rate == pytest.approx(sum(said) / len(said))
    assert score.auc == pytest.approx(wins / (len(ups) * len(downs)))
    assert math.isnan(score.brier)


def test_average_precision_is_the_step_sum_of_precision_over_recall() -> None:
    moved = FORWARD != 0
    signal, up = SIGNAL[moved], FORWARD[moved] > 0
    total = recall_before = 0.0
    for level in sorted(set(signal.tolist()), reverse=True):
        taken = signal >= level
        precision, recall = up[taken].mean(), up[taken].sum() / up.sum()
        total += (recall - recall_before) * precision
        recall_before = recall
    assert direction(SIGNAL, codes(SIGNAL), FORWARD, NONE).pr_auc == pytest.approx(total)


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=80), st.integers(0, 3))
def test_ranking_quality_is_scikit_learns(rows: list[tuple[int, bool]], skip: int) -> None:
    signal, up = (np.array(column) for column in zip(*rows, strict=True))
    order = codes(signal.astype(np.float64))[skip:]  # ranks of a larger set
    signal, up = signal[skip:], up[skip:]
    if not up.any() or up.all():
        assert all(math.isnan(value) for value in ranking_quality(order, up))
        return
    wanted = roc_auc_score(up, signal), average_precision_score(up, signal)
    assert ranking_quality(order, up) == pytest.approx(wanted, abs=1e-12)


def test_a_signal_is_never_flipped() -> None:
    assert direction(-SIGNAL, codes(-SIGNAL), FORWARD, NONE).auc == pytest.approx(
        1 - direction(SIGNAL, codes(SIGNAL), FORWARD, NONE).auc
    )
    assert (
        direction(-SIGNAL, codes(-SIGNAL), FORWARD, NONE).hit_rate
        < 0.5
        < direction(SIGNAL, codes(SIGNAL), FORWARD, NONE).hit_rate
    )


def test_brier_score_counts_judged_rows_only() -> None:
    chance = np.where(np.arange(300) < 150, np.nan, 0.7)
    judged = (FORWARD != 0) & ~np.isnan(chance)
    want = brier_score_loss(FORWARD[judged] > 0, chance[judged])
    assert direction(SIGNAL, codes(SIGNAL), FORWARD, chance).brier == pytest.approx(want)


def test_calibration_error_is_zero_for_true_chances_and_the_bias_otherwise() -> None:
    random = np.random.default_rng(0)
    chance = random.uniform(0.2, 0.8, size=200_000)
    up = random.random(200_000) < chance
    assert calibration_error(up, chance) < 0.005
    assert calibration_error(up, chance - 0.1) == pytest.approx(0.1, abs=0.005)


def test_the_logistic_fit_recovers_planted_chances() -> None:
    random = np.random.default_rng(1)
    signal = random.normal(size=40_000)
    forward = np.where(random.random(40_000) < 1 / (1 + np.exp(-(0.2 + 0.8 * signal))), 1.0, -1.0)
    split = list(walk_forward(np.arange(40_000, dtype=np.int64) * 1000, 1000, 5))
    chances = chances_of_up(signal, forward, split)
    assert np.isnan(chances[:8000]).all()
    np.testing.assert_allclose(chances[8000:], 1 / (1 + np.exp(-(0.2 + 0.8 * signal[8000:]))), atol=0.03)


def test_nothing_moved_nothing_known() -> None:
    score = direction(SIGNAL, codes(SIGNAL), np.zeros(300), NONE)
    assert all(math.isnan(value) for value in (score.hit_rate, score.auc, score.pr_auc, score.brier, score.ece))


def test_only_rises_leave_the_ranking_unknown() -> None:
    score = direction(SIGNAL, codes(SIGNAL), np.ones(300), NONE)
    assert math.isnan(score.auc)
    assert score.hit_rate == pytest.approx(np.mean(SIGNAL[SIGNAL != 0] > 0))
