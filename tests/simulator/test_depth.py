"""The full book of the simulated market: diffs, snapshots and partial books tell of one and the same book."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from ofi_cvd.simulator.engine import Engine
from ofi_cvd.simulator.frames import SNAPSHOT_LIMIT, payloads

START_MS = 1_767_571_200_000
Side = dict[Decimal, Decimal]


def decoded(stream: str, engine: Engine, block: Any) -> list[dict[str, Any]]:
    return [json.loads(text) for text in payloads(stream, engine, block).texts()]


def apply(side: Side, levels: list[list[str]]) -> None:
    """Set absolute quantities; 0 deletes."""
    for price, size in levels:
        if Decimal(size):
            side[Decimal(price)] = Decimal(size)
        else:
            del side[Decimal(price)]  # the market never deletes what is not there


def best(side: Side, count: int, *, highest: bool) -> list[tuple[Decimal, Decimal]]:
    return sorted(side.items(), reverse=highest)[:count]


def exact(levels: list[list[str]]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(size)) for price, size in levels]


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ADAUSDT", "XRPUSDT"])
def test_diffs_lead_to_every_partial_book_and_snapshot(symbol: str) -> None:
    """The running book of all diffs, over several blocks, is the book that the other two show at their ids."""
    engine = Engine(symbol, 11, START_MS)
    bids: Side = {}
    asks: Side = {}
    previous = None
    for steps in (7, 300, 40):
        block = engine.advance(steps)
        diffs = decoded("depth@100ms", engine, block)
        partial = decoded("depth20@100ms", engine, block)
        snapshots = {book["lastUpdateId"]: book for book in decoded("depthSnapshot", engine, block)}
        assert snapshots
        for diff, top in zip(diffs, partial, strict=True):
            assert previous is None or diff["pu"] == previous
            previous = diff["u"]
            assert [diff[key] for key in ("E", "T", "U", "u", "pu")] == [top[key] for key in ("E", "T", "U", "u", "pu")]
            apply(bids, diff["b"])
            apply(asks, diff["a"])
            assert max(bids) < min(asks)
            assert best(bids, 20, highest=True) == exact(top["b"])
            assert best(asks, 20, highest=False) == exact(top["a"])
            if (book := snapshots.pop(diff["u"], None)) is not None:
                assert best(bids, SNAPSHOT_LIMIT, highest=True) == exact(book["bids"])
                assert best(asks, SNAPSHOT_LIMIT, highest=False) == exact(book["asks"])
        assert not snapshots
    assert len(asks) > SNAPSHOT_LIMIT, "a snapshot does not show everything"


def test_blocks_do_not_change_the_book() -> None:
    """A market asked for in one piece and in two, from the same state, has the same changes."""
    engine = Engine("ETHUSDT", 3, START_MS)
    block = engine.advance(200)
    together = payloads("depth@100ms", engine, block).texts()
    again = Engine("ETHUSDT", 3, START_MS)
    assert payloads("depth@100ms", again, again.advance(200)).texts() == together


def test_context_streams_read_the_book_and_the_tape() -> None:
    """One mark price a second between the best quotes; at most one liquidation a second, each a trade of the tape."""
    engine = Engine("BTCUSDT", 5, START_MS)
    block = engine.advance(3_000)
    marks = decoded("markPrice@1s", engine, block)
    assert [mark["E"] for mark in marks] == sorted({mark["E"] for mark in marks})
    assert all(mark["E"] % 1_000 == 0 and mark["T"] % (8 * 3_600_000) == 0 and mark["T"] > mark["E"] for mark in marks)
    books = {-(-top["E"] // 1_000) * 1_000: top for top in decoded("depth5@100ms", engine, block)}
    for mark in marks:
        top = books[mark["E"]]
        assert Decimal(mark["p"]) * 2 == Decimal(top["b"][0][0]) + Decimal(top["a"][0][0])
    trades = {(trade["T"], trade["p"], trade["q"]): trade for trade in decoded("aggTrade", engine, block)}
    forced = [event["o"] for event in decoded("forceOrder", engine, block)]
    assert forced
    assert len({order["T"] // 1_000 for order in forced}) == len(forced)
    for order in forced:
        trade = trades[order["T"], order["p"], order["q"]]
        assert (order["S"] == "SELL") == trade["m"]
