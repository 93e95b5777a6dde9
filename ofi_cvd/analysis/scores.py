"""How well a signal tells up from down: hit rate, ranking quality, and the calibration of a logistic fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from ofi_cvd.analysis.arrays import Bools, Floats
from ofi_cvd.analysis.folds import Fold

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


def direction(signal: Floats, forward: Floats, chance_up: Floats) -> Direction:
    """Score a signal as published (large means up) against the sign of the forward return.

    Rows whose return is exactly zero are neither up nor down and are left out; the hit rate also leaves out signals of zero.

    Args:
        signal: the published signal.
        forward: forward returns without NaN.
        chance_up: out-of-sample probability of up, NaN where none was made.
    """
    moved = forward != 0
    signal, up, chance_up = signal[moved], forward[moved] > 0, chance_up[moved]
    if up.size < MIN_ROWS:
        return Direction(math.nan, math.nan, math.nan, math.nan, math.nan)
    said = signal != 0
    hit_rate = float(np.mean((signal[said] > 0) == up[said])) if said.any() else math.nan
    auc = pr_auc = math.nan
    if up.any() and not up.all():
        auc, pr_auc = float(roc_auc_score(up, signal)), float(average_precision_score(up, signal))
    judged = ~np.isnan(chance_up)
    brier = ece = math.nan
    if np.count_nonzero(judged) >= MIN_ROWS:
        brier = float(brier_score_loss(up[judged], chance_up[judged], pos_label=True))
        ece = calibration_error(up[judged], chance_up[judged])
    return Direction(hit_rate, auc, pr_auc, brier, ece)


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
