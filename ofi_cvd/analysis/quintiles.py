"""Mean forward return by quintile of the signal, with an interval that allows for overlapping labels."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import polars as pl

from ofi_cvd.analysis.ranks import MIN_ROWS, standard_error
from ofi_cvd.dataset.arrays import Floats, Ints
from ofi_cvd.dataset.quotes import BPS

QUINTILE_TABLE: Final = pl.Schema(
    {"symbol": pl.String(), "signal": pl.String()}
    | dict.fromkeys(("horizon_s", "quintile", "n"), pl.Int64())
    | dict.fromkeys(("mean_bps", "lo_bps", "hi_bps"), pl.Float64())
)


def quintile_intervals(quintile: Ints, forward: Floats, times: Ints, horizon_ms: int) -> list[dict[str, float | int]]:
    """Return `quintile` (1..5), `n`, `mean_bps` and its 95 % interval `lo_bps`, `hi_bps` for each quintile.

    The mean of a quintile is a sum over the judged rows divided by a count over them; each row adds its deviation where it
    is in the quintile and nothing elsewhere. The variance of these terms is Newey and West's, as for the coefficient. NaN:
    the mean of an empty quintile; the interval of one with fewer than 30 rows or of rows that span too few horizons.

    Args:
        quintile: 0..4, or -1 where the row is not judged.
        forward: forward returns.
        times: of the rows, sorted.
        horizon_ms: length of the labels.
    """
    judged = quintile >= 0
    quintile, forward, times = quintile[judged], forward[judged] * BPS, times[judged]
    result: list[dict[str, float | int]] = []
    for k in range(5):
        inside = quintile == k
        n = int(np.count_nonzero(inside))
        mean = float(forward[inside].mean()) if n else math.nan
        half = math.nan
        if n >= MIN_ROWS:
            terms = np.where(inside, forward - mean, 0.0)
            error, critical = standard_error(terms, times, horizon_ms)
            half = critical * error * len(terms) / n
        result.append({"quintile": k + 1, "n": n, "mean_bps": mean, "lo_bps": mean - half, "hi_bps": mean + half})
    return result
