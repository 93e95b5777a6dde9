"""What following a signal would have earned: returns by quintile, in the tails, and past a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ofi_cvd.analysis.folds import Fold
from ofi_cvd.dataset.arrays import Bools, Floats, Ints
from ofi_cvd.dataset.quotes import BPS

QUINTILES = (0.2, 0.4, 0.6, 0.8)
TAIL = 0.05
THRESHOLDS = tuple(0.5 + 0.25 * step for step in range(11))  # 0.5 ... 3.0

ROUND_TRIP_BPS = {"TL": 3.4, "TM": 8.0, "TH": 10.0}
"""Cost of getting in and out by `fee_tier`, unless `--cost-bps` says otherwise: two taker fees of 1.7, 4 and 5 bps."""


@dataclass(frozen=True)
class Placement:
    """Where each row stands among the signals of its own past: quintile 0..4 (-1: not judged), top and bottom 5 %."""

    quintile: Ints
    top: Bools
    bottom: Bools


def place(signal: Floats, folds: list[Fold]) -> Placement:
    """Place every judged row by the quantiles of its fold's past; nothing of the row's own fold is used."""
    quintile = np.full(len(signal), -1, dtype=np.int64)
    top, bottom = np.zeros(len(signal), dtype=np.bool_), np.zeros(len(signal), dtype=np.bool_)
    for fold in folds:
        levels = np.quantile(signal[: fold.train], (*QUINTILES, 1 - TAIL, TAIL))
        judged = slice(fold.test_from, fold.test_to)
        quintile[judged] = np.searchsorted(levels[:4], signal[judged], side="left")
        top[judged], bottom[judged] = signal[judged] > levels[4], signal[judged] < levels[5]
    return Placement(quintile, top, bottom)


def quintile_means(quintile: Ints, forward: Floats) -> tuple[Floats, float]:
    """Return the mean forward return of the five quintiles in bps and Kendall's tau of those means with their order.

    NaN for an empty quintile; tau needs all five. Tau is 1 where the mean rises from each quintile to the next.
    """
    judged = quintile >= 0
    counts = np.bincount(quintile[judged], minlength=5)
    sums = np.bincount(quintile[judged], weights=forward[judged], minlength=5)
    means = np.divide(sums * BPS, counts, out=np.full(5, np.nan), where=counts > 0)
    if np.isnan(means).any() or np.ptp(means) == 0:
        return means, math.nan
    return means, round(float(stats.kendalltau(np.arange(5), means).statistic), 12)  # tenths, without the last bits


def tail_means(placement: Placement, keep: Bools, forward: Floats, cost_bps: float) -> tuple[float, float]:
    """Return the mean forward return in bps of the top and of the bottom 5 %, each moved against the trade by the cost.

    Top: mean minus cost, what buying earned. Bottom: mean plus cost; selling earned its negative. NaN where no row is.
    """
    top, bottom = forward[placement.top[keep]], forward[placement.bottom[keep]]
    return (
        float(top.mean()) * BPS - cost_bps if top.size else math.nan,
        float(bottom.mean()) * BPS + cost_bps if bottom.size else math.nan,
    )


def threshold_scan(signal: Floats, forward: Floats, cost_bps: float) -> list[dict[str, float | int]]:
    """Return for each threshold what trading in the signal's direction where |signal| >= threshold would have earned.

    Thresholds are fixed beforehand, nothing is learned, so every labelled row counts.
    """
    level = np.searchsorted(THRESHOLDS, np.abs(signal), side="right")  # how many thresholds the row meets
    gain = np.sign(signal) * forward * BPS
    moved = forward != 0

    def beyond(weight: Floats) -> Floats:
        """Sum of `weight` over the rows at or past each threshold."""
        sums = np.bincount(level, weights=weight, minlength=len(THRESHOLDS) + 1)
        return np.asarray(np.cumsum(sums[::-1])[::-1][1:], dtype=np.float64)

    rows, longs = beyond(np.ones(len(signal))), beyond((signal > 0).astype(np.float64))
    movers, hits = beyond(moved.astype(np.float64)), beyond((gain > 0).astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, hit_rate = beyond(gain) / rows, hits / movers
    return [
        {
            "threshold": threshold,
            "n": int(rows[k]),
            "n_long": int(longs[k]),
            "hit_rate": float(hit_rate[k]),
            "mean_bps": float(mean[k]),
            "net_bps": float(mean[k]) - cost_bps,
        }
        for k, threshold in enumerate(THRESHOLDS)
    ]
