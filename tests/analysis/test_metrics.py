"""The table: planted signals are found within their interval, worthless ones are not, and the columns are the contract's."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from ofi_cvd.analysis.metrics import METRICS, SLICES, Judged, adjusted, judge, thin
from ofi_cvd.dataset.arrays import floats, ints
from ofi_cvd.dataset.quotes import Gaps, Quotes
from tests.analysis import planted

NO_GAPS = Gaps(np.empty(0, np.int64), np.empty(0, np.int64))
HORIZONS = (1, 5, 30)
COLUMNS = (
    "symbol signal horizon_s slice_kind slice n ic ic_lo ic_hi hit_rate auc pr_auc brier ece q1 q2 q3 q4 q5 "
    "kendall_tau p_value p_adjusted top5_bps bottom5_bps"
)


@pytest.fixture(scope="module")
def market() -> planted.Tables:
    return planted.tables(12_000, seed=3, books=2, trades=1)


@pytest.fixture(scope="module")
def quotes(market: planted.Tables) -> Quotes:
    return Quotes(ints(market["ofi"], "ts_ms"), np.log(floats(market["ofi"], "mid")), NO_GAPS)


@pytest.fixture(scope="module")
def judged(market: planted.Tables, quotes: Quotes) -> dict[str, Judged]:
    signals = ("ofi_flow_z", "cvd_flow_z", "score_z")
    return {s: judge(market["fusion"], "BTCUSDT", s, quotes, HORIZONS, folds=5, cost_bps=0.0) for s in signals}


def whole(found: Judged, horizon_s: int) -> dict[str, float]:
    return found.metrics.filter((pl.col("slice_kind") == "all") & (pl.col("horizon_s") == horizon_s)).row(0, named=True)


def test_columns_are_the_contract(judged: dict[str, Judged]) -> None:
    assert judged["score_z"].metrics.columns == COLUMNS.split()
    assert judged["score_z"].metrics.schema == METRICS


@pytest.mark.parametrize("horizon_s", HORIZONS)
def test_a_planted_signal_is_estimated_within_its_interval(judged: dict[str, Judged], horizon_s: int) -> None:
    """Over h seconds the label is SLOPE * signal + the noise of h jumps + the other h - 1 signals: r is known."""
    variance = horizon_s * (planted.SLOPE**2 + planted.NOISE**2)
    truth = 6 / math.pi * math.asin(planted.SLOPE / math.sqrt(variance) / 2)
    row = whole(judged["ofi_flow_z"], horizon_s)
    assert row["ic_lo"] < truth < row["ic_hi"]
    assert row["p_value"] < 0.05
    assert row["ic_hi"] - row["ic_lo"] < 0.12


def test_the_other_statistics_see_the_planted_signal(judged: dict[str, Judged]) -> None:
    row = whole(judged["ofi_flow_z"], 1)
    assert row["kendall_tau"] == 1.0
    assert row["top5_bps"] > 1.5 * planted.SLOPE
    assert row["bottom5_bps"] < -1.5 * planted.SLOPE
    assert row["q5"] == pytest.approx(1.40 * planted.SLOPE, abs=0.25)  # mean of the top fifth of a normal is 1.400
    # sign agreement of two normals with correlation r: 1/2 + asin(r)/pi
    assert row["hit_rate"] == pytest.approx(0.5 + math.asin(1 / math.sqrt(5)) / math.pi, abs=0.02)
    assert row["brier"] < 0.24
    assert row["ece"] < 0.03


def test_a_signal_made_of_past_returns_has_no_forward_coefficient(judged: dict[str, Judged]) -> None:
    """It would have one at once if the label began a quote too early."""
    for horizon_s in HORIZONS:
        row = whole(judged["cvd_flow_z"], horizon_s)
        assert row["ic_lo"] <= 0 <= row["ic_hi"]


def test_past_returns_would_show_if_labels_ran_backwards(market: planted.Tables, quotes: Quotes) -> None:
    """The counterpart of the test above: the same signal explains the return that ended at t."""
    times = ints(market["fusion"], "ts_ms")
    past = -quotes.backward(times, 1000)
    known = ~np.isnan(past)
    assert stats.spearmanr(floats(market["fusion"], "cvd_flow_z")[known], past[known]).statistic > 0.9


def test_a_shuffled_signal_shows_nothing(judged: dict[str, Judged]) -> None:
    for horizon_s in HORIZONS:
        row = whole(judged["score_z"], horizon_s)
        assert row["ic_lo"] <= 0 <= row["ic_hi"]


def test_shuffled_signals_cover_zero_at_the_stated_rate(market: planted.Tables, quotes: Quotes) -> None:
    """Through the whole path, prices to interval: 60 shuffles, 5 horizons' worth of rows; 3 misses expected, 9 are too many."""
    rows = market["fusion"].head(1500).select("ts_ms", "ofi_flow_z", "session", "regime", "vol_bucket", "scenario_2x2")
    misses = 0
    for seed in range(60):
        shuffled = rows.with_columns(pl.col("ofi_flow_z").shuffle(seed))
        row = whole(judge(shuffled, "X", "ofi_flow_z", quotes, (5,), folds=2, cost_bps=0.0), 5)
        misses += not row["ic_lo"] <= 0 <= row["ic_hi"]
    assert misses <= 9


def test_coefficient_and_n_are_those_of_all_labelled_rows(
    market: planted.Tables, quotes: Quotes, judged: dict[str, Judged]
) -> None:
    forward = quotes.forward(ints(market["fusion"], "ts_ms"), 30_000)
    known = ~np.isnan(forward)
    row = whole(judged["ofi_flow_z"], 30)
    assert row["n"] == known.sum() == market["fusion"].height - 30
    assert row["ic"] == pytest.approx(
        stats.spearmanr(floats(market["fusion"], "ofi_flow_z")[known], forward[known]).statistic
    )


def test_slices_partition_the_rows_that_carry_the_label(judged: dict[str, Judged]) -> None:
    metrics = judged["ofi_flow_z"].metrics.filter(pl.col("horizon_s") == 1)
    total = whole(judged["ofi_flow_z"], 1)["n"]
    for kind, names in SLICES:
        part = metrics.filter(pl.col("slice_kind") == kind)
        assert part["slice"].to_list() == list(names)
        assert part["n"].sum() == total
    empty = metrics.filter(pl.col("slice") == "Tokyo").row(0, named=True)
    assert empty["n"] == 0
    assert empty["ic"] is None


def test_a_slice_is_judged_on_its_own_rows(market: planted.Tables, quotes: Quotes, judged: dict[str, Judged]) -> None:
    rows = market["fusion"].filter(pl.col("regime") == "Quiet")
    forward = quotes.forward(ints(rows, "ts_ms"), 5000)
    known = ~np.isnan(forward)
    quiet = (
        judged["ofi_flow_z"]
        .metrics.filter((pl.col("slice") == "Quiet") & (pl.col("horizon_s") == 5))
        .row(0, named=True)
    )
    assert quiet["ic"] == pytest.approx(stats.spearmanr(floats(rows, "ofi_flow_z")[known], forward[known]).statistic)


def test_adjusted_p_values_are_benjamini_and_hochbergs() -> None:
    p_values = [0.01, None, 0.04, 0.03, 0.005]
    frame = pl.DataFrame({"p_value": p_values}, schema={"p_value": pl.Float64})
    got = adjusted(frame)["p_adjusted"].to_list()
    known = sorted(p for p in p_values if p is not None)
    want = {p: min(len(known) * q / (known.index(q) + 1) for q in known if q >= p) for p in known}
    assert got == pytest.approx([None if p is None else want[p] for p in p_values])


def test_thinning_takes_every_kth_known_row() -> None:
    rows = pl.DataFrame({"ts_ms": range(10), "z": [None, 1.0, 2.0, 3.0, None, 4.0, 5.0, 6.0, 7.0, 8.0]})
    kept, step = thin(rows, "z", 3)
    assert (kept["z"].to_list(), step) == ([1.0, 4.0, 7.0], 3)
    assert thin(rows, "z", 8)[1] == 1
