"""The metrics table: one row per symbol, signal, horizon and slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from statsmodels.stats.multitest import multipletests

from ofi_cvd.analysis.arrays import table
from ofi_cvd.analysis.buckets import Placement, place, quintile_means, tail_means, threshold_scan
from ofi_cvd.analysis.folds import walk_forward
from ofi_cvd.analysis.quintiles import QUINTILE_TABLE, quintile_intervals
from ofi_cvd.analysis.ranks import codes, correlation
from ofi_cvd.analysis.scores import chances_of_up, direction
from ofi_cvd.dataset.arrays import Bools, Floats, Ints, floats, ints
from ofi_cvd.dataset.quotes import Quotes
from ofi_cvd.schemas import SCENARIOS

KEYS: Final = ("symbol", "signal", "horizon_s", "slice_kind", "slice")
_KEY_TYPES = dict.fromkeys(KEYS, pl.String()) | {"horizon_s": pl.Int64()}
_STATISTICS = (
    "ic", "ic_lo", "ic_hi", "hit_rate", "auc", "pr_auc", "brier", "ece", "q1", "q2", "q3", "q4", "q5",
    "kendall_tau", "p_value", "p_adjusted", "top5_bps", "bottom5_bps",
)  # fmt: skip
METRICS: Final = pl.Schema(_KEY_TYPES | {"n": pl.Int64()} | dict.fromkeys(_STATISTICS, pl.Float64()))
THRESHOLD_TABLE: Final = pl.Schema(
    _KEY_TYPES
    | {"threshold": pl.Float64(), "n": pl.Int64(), "n_long": pl.Int64()}
    | {"hit_rate": pl.Float64(), "mean_bps": pl.Float64(), "net_bps": pl.Float64()}
)
FOLD_TABLE: Final = pl.Schema(
    {"symbol": pl.String(), "signal": pl.String()}
    | dict.fromkeys(("horizon_s", "fold", "start_ms", "n_train", "n_test"), pl.Int64())
)
SLICES: Final = (
    ("session", ("Tokyo", "London", "NY")),
    ("regime", ("Active", "Quiet")),
    ("vol_bucket", ("High", "Low")),
    ("scenario_2x2", SCENARIOS),
)
SLICE_COLUMNS: Final = tuple(kind for kind, _ in SLICES)


@dataclass(frozen=True)
class Slice:
    """A named subset of the rows; a row whose label is null is in no slice of that kind."""

    kind: str
    name: str
    rows: Bools


@dataclass(frozen=True)
class Judged:
    """Everything found out about one signal of one symbol."""

    metrics: pl.DataFrame
    thresholds: pl.DataFrame
    quintiles: pl.DataFrame
    folds: pl.DataFrame


def slices_of(rows: pl.DataFrame) -> list[Slice]:
    """Return the whole (`all`, `all`) and every label's subset, also the empty ones."""
    result = [Slice("all", "all", np.ones(rows.height, dtype=np.bool_))]
    for kind, names in SLICES:
        labels = rows.get_column(kind)
        for name in names:
            mask = (labels == name).fill_null(value=False).to_numpy()
            result.append(Slice(kind, name, np.asarray(mask, dtype=np.bool_)))
    return result


def thin(rows: pl.DataFrame, signal: str, max_rows: int) -> tuple[pl.DataFrame, int]:
    """Return the rows on which the signal is known, every k-th of them, and k: the smallest that keeps at most `max_rows`."""
    known = rows.filter(pl.col(signal).is_not_null() & pl.col(signal).is_not_nan())
    step = max(1, -(-known.height // max_rows))
    return known.gather_every(step), step


def judge(
    rows: pl.DataFrame,
    symbol: str,
    signal: str,
    quotes: Quotes,
    horizons_s: Sequence[int],
    *,
    folds: int,
    cost_bps: float,
) -> Judged:
    """Judge one signal of one symbol at every horizon, whole and by slice.

    Statistics that fit nothing (n, ic, hit rate, AUC, PR-AUC, threshold scan) use every row with a label. Those that learn
    (quintiles, tails, Brier, ECE) use only rows of later folds, judged by what their fold's past taught.

    Args:
        rows: `ts_ms`, the signal without nulls, and the labels, sorted by time.
        symbol: names the rows of the result.
        signal: column of `rows`, oriented as published.
        quotes: what forward returns are taken from.
        horizons_s: label lengths in seconds.
        folds: stretches of the walk-forward split.
        cost_bps: cost of getting in and out.
    """
    times, values, slices = ints(rows, "ts_ms"), floats(rows, signal), slices_of(rows)
    metrics: list[dict[str, object]] = []
    scans: list[dict[str, object]] = []
    fifths: list[dict[str, object]] = []
    splits: list[dict[str, object]] = []
    for horizon_s in horizons_s:
        forward = quotes.forward(times, horizon_s * 1000)
        known = ~np.isnan(forward)
        labelled = _Labelled.of(times[known], values[known], forward[known], horizon_s, folds)
        key: dict[str, object] = {"symbol": symbol, "signal": signal, "horizon_s": horizon_s}
        splits += [key | split for split in labelled.splits]
        fifths += [key | fifth for fifth in labelled.fifths()]
        for piece in slices:
            name = key | {"slice_kind": piece.kind, "slice": piece.name}
            row, scan = labelled.statistics(piece.rows[known], cost_bps)
            metrics.append(name | row)
            scans += [name | step for step in scan]
    return Judged(
        table(metrics, METRICS), table(scans, THRESHOLD_TABLE), table(fifths, QUINTILE_TABLE), table(splits, FOLD_TABLE)
    )


@dataclass(frozen=True)
class _Labelled:
    """Rows with a label, and all that is computed once for every slice of them."""

    times: Ints
    values: Floats
    forward: Floats
    horizon_s: int
    value_codes: Ints
    forward_codes: Ints
    chances: Floats
    placement: Placement
    splits: list[dict[str, object]]

    @classmethod
    def of(cls, times: Ints, values: Floats, forward: Floats, horizon_s: int, folds: int) -> _Labelled:
        split = list(walk_forward(times, horizon_s * 1000, folds))
        return cls(
            times, values, forward, horizon_s, codes(values), codes(forward),
            chances_of_up(values, forward, split), place(values, split),
            [
                {"fold": f.number, "start_ms": f.start_ms, "n_train": f.train, "n_test": f.test_to - f.test_from}
                for f in split
            ],
        )  # fmt: skip

    def fifths(self) -> list[dict[str, float | int]]:
        """Return the mean of each quintile with its interval, over all rows."""
        return quintile_intervals(self.placement.quintile, self.forward, self.times, self.horizon_s * 1000)

    def statistics(self, keep: Bools, cost_bps: float) -> tuple[dict[str, object], list[dict[str, float | int]]]:
        """Return one metrics row and its threshold scan for a subset."""
        values, forward = self.values[keep], self.forward[keep]
        ic = correlation(self.value_codes[keep], self.forward_codes[keep], self.times[keep], self.horizon_s * 1000)
        score = direction(values, self.value_codes[keep], forward, self.chances[keep])
        means, tau = quintile_means(self.placement.quintile[keep], forward)
        top, bottom = tail_means(self.placement, keep, forward, cost_bps)
        row: dict[str, object] = {"n": len(values)}
        row |= {"ic": ic.value, "ic_lo": ic.low, "ic_hi": ic.high, "p_value": ic.p_value, "p_adjusted": None}
        row |= {"hit_rate": score.hit_rate, "auc": score.auc, "pr_auc": score.pr_auc}
        row |= {"brier": score.brier, "ece": score.ece}
        row |= {f"q{k + 1}": float(mean) for k, mean in enumerate(means)}
        row |= {"kendall_tau": tau, "top5_bps": top, "bottom5_bps": bottom}
        return row, threshold_scan(values, forward, cost_bps)


def adjusted(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the table with `p_adjusted`: Benjamini & Hochberg (1995) over every known p-value of it; null where unknown."""
    p_values = floats(frame, "p_value")
    known = ~np.isnan(p_values)
    result = np.full(len(p_values), np.nan)
    if known.any():
        result[known] = multipletests(p_values[known], method="fdr_bh")[1]
    return frame.with_columns(p_adjusted=pl.Series(result, dtype=pl.Float64).fill_nan(None))
