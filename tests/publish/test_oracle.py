"""The package against the oracle: any small market, and the real captures."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.datasets import assert_same_tables, build_frames
from tests.oracles import oracle_dataset, read_capture
from tests.publish.pieces import PHASES, stretched
from tests.strategies import HOUR_END_MS, SMALL_PARAMS, Json, Market, markets


@given(markets())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
def test_any_market_equals_the_oracle(market: Market) -> None:
    """All rows and columns of all five tables, with every fault the strategies know."""
    assume(market.frames)
    with tempfile.TemporaryDirectory() as folder:
        found = build_frames(Path(folder), market.frames, market.ledger, market.params)
    assert_same_tables(found, oracle_dataset(market.frames, market.ledger, market.params))


@given(
    markets(max_size=50), st.lists(st.tuples(st.floats(0, 1), st.integers(1, 3)), min_size=1, max_size=2), st.booleans()
)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
def test_any_market_with_silent_hours_equals_the_oracle(
    market: Market, silences: list[tuple[float, int]], frames_whole: bool
) -> None:
    """Hours without an event between others, and frames received hours after what they tell of."""
    assume(market.frames)
    market = stretched(market, silences, frames_whole=frames_whole)
    with tempfile.TemporaryDirectory() as folder:
        found = build_frames(Path(folder), market.frames, market.ledger, market.params)
    assert_same_tables(found, oracle_dataset(market.frames, market.ledger, market.params))


def late_trade(at_ms: int, trade_id: int, traded_ms: int) -> Json:
    data = {"e": "aggTrade", "E": HOUR_END_MS + traded_ms, "s": "BTCUSDT", "a": trade_id, "p": "100.0", "q": "0.001"}
    data |= {"f": 1, "l": 1, "T": HOUR_END_MS + traded_ms, "m": True}
    return {"recv_ns": (HOUR_END_MS + at_ms) * 1_000_000, "conn": "m1", "stream": "btcusdt@aggTrade", "data": data}


def late_book(at_ms: int, update_id: int, traded_ms: int) -> Json:
    sides: Json = {"b": [["99.9", "0.005"]], "a": [["100.1", "0.005"]]}
    data: Json = {"e": "depthUpdate", "E": HOUR_END_MS + traded_ms, "T": HOUR_END_MS + traded_ms, "s": "BTCUSDT"}
    data |= {"U": update_id - 6, "u": update_id, "pu": update_id - 7, **sides}
    return {"recv_ns": (HOUR_END_MS + at_ms) * 1_000_000, "conn": "m1", "stream": "btcusdt@depth5@100ms", "data": data}


H = 3_600_000
LATE = {
    "the last of an hour, two silent hours later": [late_trade(5, 500, 0), late_trade(2 * H + 5, 501, 0)],
    "an update behind which the next came before": [
        late_trade(2 * H + 5, 500, 0),
        late_book(2 * H + 10, 9_014, 2 * H + 6),
        late_book(3 * H + 80, 9_007, -1),
        late_trade(3 * H + 1_010, 501, 3 * H + 1_007),
        late_book(3 * H + 1_010, 9_021, 3 * H + 1_006),
    ],
}


@pytest.mark.parametrize("frames", LATE.values(), ids=list(LATE))
def test_frames_received_hours_late(frames: list[Json], tmp_path: Path) -> None:
    """One build of the whole spool finds the hour that each belongs to."""
    params = {**SMALL_PARAMS, "BOOK_STREAMS": "depth5@100ms"}
    found = build_frames(tmp_path, frames, (), params)
    assert_same_tables(found, oracle_dataset(frames, (), params))


def test_an_id_received_hours_after_its_successor(tmp_path: Path) -> None:
    """Spot has no clock but receipt: the earlier id, received later, moves its successor behind the silent hours."""
    sides = {"bids": [["99.7", "0.005"]] * 5, "asks": [["99.9", "0.015"]] * 5}
    trade = {"e": "trade", "E": HOUR_END_MS - 90, "s": "BTCUSDT", "t": 500, "p": "99.9", "q": "0.028"}
    received = [
        (0, "trade", trade | {"T": HOUR_END_MS - 90, "m": True, "M": True}),
        (3 * 3_600_000 - 50, "depth5@100ms", {"lastUpdateId": 9_014, **sides}),
        (4 * 3_600_000 - 70, "depth5@100ms", {"lastUpdateId": 9_007, **sides}),
    ]
    frames: list[Json] = [
        {"recv_ns": (HOUR_END_MS + at) * 1_000_000, "conn": "m1", "stream": f"btcusdt@{stream}", "data": data}
        for at, stream, data in received
    ]
    params = {**SMALL_PARAMS, "MARKET": "spot", "TRADE_STREAM": "trade", "BOOK_STREAMS": "depth5@100ms"}
    found = build_frames(tmp_path, frames, (), params)
    assert [row["ts_ms"] for row in found["ofi"]] == [HOUR_END_MS + 4 * 3_600_000]
    assert_same_tables(found, oracle_dataset(frames, (), params))


CAPTURES = Path(__file__).parents[3] / "shared" / "data"


needs_captures = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the real captures are not beside the project (../shared/data)"
)


@needs_captures
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
@pytest.mark.parametrize("source", ["derived", "raw"])
def test_real_captures_equal_the_oracle(symbol: str, source: str, tmp_path: Path) -> None:
    """Eight minutes of a real market across midnight: default streams, and single trades with the best quote."""
    if source == "derived":
        names, params = [f"derived/{symbol.lower()}_20240718-19.agg+depth10.gz"], {}
    else:
        names = [f"raw/{symbol.lower()}_202407{day}.gz" for day in (18, 19)]
        params = {"TRADE_STREAM": "trade", "BOOK_SOURCE": "bookTicker"}
    frames = [frame for name in names for frame in read_capture(CAPTURES / name, symbol)]
    found = build_frames(tmp_path, frames, (), params, symbol=symbol)
    assert min(len(rows) for rows in found.values()) > 0
    assert len({row["ts_ms"] // 86_400_000 for row in found["prices"]}) == 2  # both sides of midnight
    assert_same_tables(found, oracle_dataset(frames, (), params))
