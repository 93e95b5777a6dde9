"""The event study: direction by name, planted drift found, controls that match."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from ofi_cvd.analysis.events import (
    EVENT_COLUMNS,
    LABEL_COLUMNS,
    OFFSETS,
    Study,
    clustered,
    directions,
    matched_times,
    study,
)
from ofi_cvd.dataset.arrays import ints
from ofi_cvd.dataset.quotes import Gaps, Quotes
from tests.analysis import planted

NO_GAPS = Gaps(np.empty(0, np.int64), np.empty(0, np.int64))


@pytest.fixture(scope="module")
def market() -> planted.Tables:
    return planted.tables(30_000, seed=4, books=2, trades=1)


@pytest.fixture(scope="module")
def found(market: planted.Tables) -> Study:
    book = market["ofi"]
    quotes = Quotes(ints(book, "ts_ms"), np.log(book["mid"].to_numpy()), NO_GAPS)
    events, seconds = market["events"].select(EVENT_COLUMNS), market["fusion"].select(LABEL_COLUMNS)
    return study(events, seconds, "BTCUSDT", quotes, (30, 60, 300), controls=5, seed=0)


def test_names_say_the_direction() -> None:
    events = pl.DataFrame(
        {
            "event_type": [
                "pivot_low", "pivot_high", "divergence_hidden_bull", "divergence_bear", "anomaly_ofi", "anomaly_price",
                "conflict", "anomaly_cvd",
            ],
            "meta_json": [
                "{}", "{}", '{"flow":-3.0}', "{}", '{"z":-7.0}', '{"ret":0.001}',
                '{"cvd_flow_z":-3.0,"ofi_flow_z":2.5}', "{}",
            ],
        }
    )  # fmt: skip
    assert directions(events).to_list() == [1, -1, 1, -1, -1, 1, 1, 0]


def test_planted_drift_is_found_and_its_control_has_none(found: Study) -> None:
    """12 bps in the minute after every pivot_low, nothing after: the path and the excess contain it."""
    at_minute = found.paths.filter((pl.col("slice_kind") == "all") & (pl.col("event_type") == "pivot_low"))
    row = at_minute.filter(pl.col("offset_s") == planted.DRIFT_SECS + 5).row(0, named=True)
    assert row["lo_bps"] < planted.DRIFT_BPS < row["hi_bps"]
    assert row["control_hi_bps"] < planted.DRIFT_BPS
    assert row["control_n"] == 5 * row["n"] > 0
    wins = found.wins.filter(
        (pl.col("slice_kind") == "all") & (pl.col("event_type") == "pivot_low") & (pl.col("horizon_s") == 60)
    )
    assert wins["win_rate"][0] > wins["control_win_rate"][0]
    assert wins["p_value"][0] < 0.01


def test_an_event_without_drift_is_not_told_from_random_times(found: Study) -> None:
    wins = found.wins.filter((pl.col("slice_kind") == "all") & (pl.col("event_type") == "anomaly_ofi"))
    assert wins["p_value"].min() > 0.01


def test_paths_run_from_a_minute_before_to_a_quarter_hour_after(found: Study) -> None:
    assert (OFFSETS[0], OFFSETS[-1], 0 in OFFSETS) == (-60, 900, True)
    per_slice = found.paths.group_by("event_type", "slice_kind", "slice").len()
    assert set(per_slice["len"]) == {len(OFFSETS)}


def test_controls_share_session_and_scenario(market: planted.Tables) -> None:
    events, seconds = market["events"], market["fusion"]
    times = matched_times(events, seconds, 3, np.random.default_rng(0))
    labels = dict(zip(seconds["ts_ms"], zip(seconds["session"], seconds["scenario_2x2"], strict=True), strict=True))
    mine = [pair for pair in zip(events["session"], events["scenario_2x2"], strict=True) for _ in range(3)]
    assert [labels[t] for t in times.tolist()] == mine


def test_no_seconds_give_controls_without_prices(market: planted.Tables) -> None:
    times = matched_times(market["events"], market["fusion"].clear(), 2, np.random.default_rng(0))
    assert (times == -1).all()


def test_the_draw_depends_on_the_seed_alone(market: planted.Tables, found: Study) -> None:
    book = market["ofi"]
    quotes = Quotes(ints(book, "ts_ms"), np.log(book["mid"].to_numpy()), NO_GAPS)
    again = study(market["events"], market["fusion"], "BTCUSDT", quotes, (30, 60, 300), controls=5, seed=0)
    other = study(market["events"], market["fusion"], "BTCUSDT", quotes, (30, 60, 300), controls=5, seed=1)
    assert again.wins.equals(found.wins)
    assert not other.wins.equals(found.wins)


def test_clustered_errors_are_the_loops() -> None:
    random = np.random.default_rng(2)
    times = np.sort(random.integers(0, 20_000_000, size=60))
    values = random.normal(size=(60, 1)) + (times // 900_000 % 3)[:, None]
    values[5, 0] = math.nan
    known = ~np.isnan(values[:, 0])
    mean = values[known, 0].mean()
    sums: dict[int, float] = {}
    for when, value in zip(times[known].tolist(), values[known, 0].tolist(), strict=True):
        sums[when // 900_000] = sums.get(when // 900_000, 0.0) + value - mean
    want = math.sqrt(sum(v**2 for v in sums.values()) * len(sums) / (len(sums) - 1)) / known.sum()
    moments = clustered(values, times)
    assert moments.mean[0] == pytest.approx(mean)
    assert moments.error[0] == pytest.approx(want)
