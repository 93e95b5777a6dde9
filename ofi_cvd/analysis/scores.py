"""How well a signal tells up from down: hit rate, ranking quality, and the calibration of a logistic fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from ofi_cvd.analysis.folds import Fold
from ofi_cvd.dataset.arrays import Bools, Floats, Ints

MIN_ROWS = 30
ECE_BINS = 10


@dataclass(frozen=True)
class Direction:
    """Statistics of "up given that the price moved"; NaN where not known."""

    hit_rate: float
    auc: float
    pr_auc: float
    brier: float
    ece: float


def direction(signal: Floats, order: Ints, forward: Floats, chance_up: Floats) -> Direction:
    """Score a signal as published (large means up) against the sign of the forward return.

    Rows whose return is exactly zero are neither up nor down and are left out; the hit rate also leaves out signals of zero.

    Args:
        signal: the published signal.
        order: its dense ranks, also those of a larger set that holds these rows.
        forward: forward returns without NaN.
        chance_up: out-of-sample probability of up, NaN where none was made.
    """
    moved = forward != 0
    signal, order, up, chance_up = signal[moved], order[moved], forward[moved] > 0, chance_up[moved]
    if up.size < MIN_ROWS:
        return Direction(math.nan, math.nan, math.nan, math.nan, math.nan)
    said = signal != 0
    hit_rate = float(np.mean((signal[said] > 0) == up[said])) if said.any() else math.nan
    auc, pr_auc = ranking_quality(order, up)
    judged = ~np.isnan(chance_up)
    brier = ece = math.nan
    if np.count_nonzero(judged) >= MIN_ROWS:
        brier = float(np.mean((up[judged] - chance_up[judged]) ** 2))
        ece = calibration_error(up[judged], chance_up[judged])
    return Direction(hit_rate, auc, pr_auc, brier, ece)


def ranking_quality(order: Ints, up: Bools) -> tuple[float, float]:
    """Return area under the ROC curve and average precision of dense ranks as scores; NaN where all rows are of one kind.

    The definitions of scikit-learn's `roc_auc_score` and `average_precision_score`, by counting ranks instead of sorting the
    scores once more for every slice and horizon.
    """
    if not up.any() or up.all():
        return math.nan, math.nan
    rises = np.bincount(order, weights=up)[::-1]  # from the highest score down
    rows = np.bincount(order)[::-1]
    rises, rows = rises[rows > 0], rows[rows > 0]
    falls = rows - rises
    found, taken = np.cumsum(rises), np.cumsum(rows)
    below = falls.sum() - np.cumsum(falls)
    auc = float(rises @ (below + falls / 2)) / float(found[-1] * falls.sum())
    return auc, float((found / taken) @ rises) / float(found[-1])


def calibration_error(up: Bools, chance: Floats) -> float:
    """Return the expected calibration error over ten bins of equal count: weighted mean of |observed share - mean chance|.

    Equal counts, because the chances of a weak signal all lie near one half: bins of equal width would hold them in one.
    """
    order = np.argsort(chance, kind="stable")
    edges = np.linspace(0, len(order), ECE_BINS + 1).astype(np.int64)[:-1]
    gaps = np.add.reduceat(up[order].astype(np.float64) - chance[order], edges)
    return float(np.abs(gaps).sum() / len(order))


def chances_of_up(signal: Floats, forward: Floats, folds: list[Fold]) -> Floats:
    """Return each judged row's chance of up from a logistic fit on its fold's past; NaN where there is none.

    Unpenalised, one slope and one intercept, fitted to the past rows whose price moved.
    """
    chances = np.full(len(signal), np.nan)
    for fold in folds:
        moved = forward[: fold.train] != 0
        past, up = signal[: fold.train][moved], forward[: fold.train][moved] > 0
        if past.size < MIN_ROWS or up.all() or not up.any() or np.ptp(past) == 0:
            continue
        model = LogisticRegression(C=np.inf, solver="newton-cholesky").fit(past[:, None], up)
        judged = slice(fold.test_from, fold.test_to)
        chances[judged] = model.predict_proba(signal[judged, None])[:, 1]
    return chances
