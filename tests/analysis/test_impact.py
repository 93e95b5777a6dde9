"""Price impact: a planted slope is recovered, shuffling destroys it, and the flows are sums over their own windows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ofi_cvd.analysis.impact import HALF_HOUR_MS, Impact, depth_proxy, flows, impact
from ofi_cvd.dataset.arrays import ints
from ofi_cvd.dataset.quotes import Gaps, Quotes, merge_gaps
from tests.analysis import planted

NO_GAPS = Gaps(np.empty(0, np.int64), np.empty(0, np.int64))


def quotes_of(book: pl.DataFrame, gaps: Gaps = NO_GAPS) -> Quotes:
    return Quotes(ints(book, "ts_ms"), np.log(book["mid"].to_numpy()), gaps)


@pytest.fixture(scope="module")
def market() -> planted.Tables:
    return planted.tables(4 * 3600, seed=6, books=5, trades=2)


@pytest.fixture(scope="module")
def found(market: planted.Tables) -> Impact:
    book = market["ofi"]
    return impact(flows(book, market["cvd"]), depth_proxy(book), quotes_of(book), "BTCUSDT", seed=0)


def row(found: Impact, window_s: int, model: str) -> dict[str, float]:
    return found.summary.filter((pl.col("window_s") == window_s) & (pl.col("model") == model)).row(0, named=True)


def test_a_planted_slope_is_recovered(found: Impact) -> None:
    """flow = move / 0.5 + noise: regression of move on flow has slope 0.5 v / (v + (0.5 sd)^2) with v the moves' variance."""
    variance = planted.SLOPE**2 + planted.NOISE**2
    reliability = variance / (variance + (planted.IMPACT * planted.FLOW_NOISE) ** 2)
    for window_s in (1, 10):
        got = row(found, window_s, "ofi")
        assert got["slope"] == pytest.approx(planted.IMPACT * reliability, rel=0.03)
        assert got["r2"] == pytest.approx(reliability, abs=0.02)
        assert got["share_significant"] == 1.0
    assert row(found, 10, "ofi_l1")["slope"] == pytest.approx(row(found, 10, "ofi")["slope"] / 2)


def test_shuffled_lagged_and_unrelated_flow_explain_nothing(found: Impact) -> None:
    assert row(found, 1, "ofi")["r2_shuffled"] < 0.005
    assert row(found, 1, "ofi")["r2_lag1"] < 0.01
    assert row(found, 1, "trades")["r2"] < 0.005
    assert abs(row(found, 1, "trades")["t_trades"]) < 1
    both = row(found, 1, "ofi+trades")
    assert row(found, 1, "ofi")["r2"] <= both["r2"] < row(found, 1, "ofi")["r2"] + 0.005


def test_regressions_stay_within_their_half_hour(found: Impact) -> None:
    assert found.half_hours["half_hour_ms"].n_unique() == 8
    assert (found.half_hours["half_hour_ms"] % HALF_HOUR_MS == 0).all()
    counts = found.half_hours.filter((pl.col("window_s") == 10) & (pl.col("model") == "ofi"))["n"]
    assert counts.max() == 180


def test_flows_count_each_row_in_the_second_it_ends() -> None:
    book = pl.DataFrame(
        {"ts_ms": [1000, 1001, 2000, 4500], "ofi_value": [1.0, 2.0, 3.0, 4.0], "ofi_l1": [0.0, 1.0, 0.0, 1.0]}
    )
    trades = pl.DataFrame({"ts_ms": [999, 2000, 2001, 9000], "delta": [1.0, -2.0, 5.0, 100.0]})
    flow = flows(book, trades)
    assert flow.times.tolist() == [1000, 2000, 3000, 4000, 5000]
    assert flow.ofi.tolist() == [1.0, 5.0, 0.0, 0.0, 4.0]
    assert flow.trades.tolist() == [1.0, -2.0, 5.0, 0.0, 0.0]


def test_windows_that_meet_a_gap_are_left_out(market: planted.Tables) -> None:
    book = market["ofi"]
    hole = merge_gaps(np.array([planted.START_MS + 100_000]), np.array([planted.START_MS + 200_500]))
    flow = flows(book, market["cvd"])
    whole = impact(flow, depth_proxy(book), quotes_of(book), "BTCUSDT", seed=0).half_hours
    holed = impact(flow, depth_proxy(book), quotes_of(book, hole), "BTCUSDT", seed=0).half_hours
    first = (pl.col("window_s") == 10) & (pl.col("model") == "ofi") & (pl.col("half_hour_ms") == planted.START_MS)
    assert whole.filter(first)["n"][0] - holed.filter(first)["n"][0] == 11


def test_slope_falls_as_one_over_depth() -> None:
    """Half hours whose every flow is a whole queue of size d: mid moves one tick per queue, so slope = tick / d."""
    random = np.random.default_rng(3)
    depth = np.repeat([1.0, 2.0, 4.0, 8.0, 16.0, 32.0], 1800)
    side = random.choice([-1.0, 1.0], size=len(depth))
    times = planted.START_MS + 1000 * (np.arange(len(depth), dtype=np.int64) + 1)
    sizes = depth * (1 + 0.05 * random.normal(size=len(depth)))
    book = pl.DataFrame({"ts_ms": times, "ofi_value": side * sizes, "ofi_l1": side * sizes, "n_updates": 1})
    book = book.with_columns(mid=pl.Series(100 * np.exp(np.cumsum(side) * 1e-5)))
    trades = pl.DataFrame({"ts_ms": times, "delta": random.normal(size=len(depth))})
    found = impact(flows(book, trades), depth_proxy(book), quotes_of(book), "X", seed=0)
    ten = found.depth.filter(pl.col("window_s") == 10).row(0, named=True)
    assert ten["half_hours"] == 6
    assert ten["exponent"] == pytest.approx(1.0, abs=0.03)


def test_nothing_published_nothing_found(market: planted.Tables) -> None:
    empty = market["ofi"].clear()
    found = impact(flows(empty, market["cvd"].clear()), depth_proxy(empty), quotes_of(empty), "X", seed=0)
    assert found.half_hours.is_empty()
    assert found.summary.is_empty()
