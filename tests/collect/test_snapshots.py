"""Snapshots of books recorded as changes: when they are asked for, and what they open."""

from __future__ import annotations

import json

import pytest

from ofi_cvd.binance.keys import Key, key_reader
from ofi_cvd.collect.actions import Action, LedgerRecord, StoreLines
from ofi_cvd.collect.snapshots import SnapshotScheduler
from ofi_cvd.collect.stats import StreamStats
from ofi_cvd.collect.stream_state import StreamState

NOW_NS = 1_760_616_000_000_000_000


def change(number: int, previous: int) -> Key:
    return Key(number, number, previous, None)


def book(number: int) -> bytes:
    return b'{"lastUpdateId":%d,"E":1,"bids":[["1","2"]],"asks":[]}' % number


class Bench:
    """Streams of changes, and the scheduler that looks after them."""

    def __init__(self, *symbols: str, per_minute: int = 100) -> None:
        names = symbols or ("BTCUSDT",)
        self.states = {(name, "depth@100ms"): StreamState(name, "depth@100ms", 1000, StreamStats()) for name in names}
        self.actions: list[Action] = []
        self.scheduler = SnapshotScheduler(self.states, self.actions.append, every_s=900.0, per_minute=per_minute)

    def take(self, number: int, previous: int, now: float, symbol: str = "BTCUSDT") -> None:
        self.states[symbol, "depth@100ms"].accept(change(number, previous), NOW_NS, now)

    def answer(self, number: int, now: float) -> str | None:
        """Let one request that is due be answered; return why it was made, None if none was due."""
        request = self.scheduler.next_request(now)
        if request is not None:
            self.scheduler.answered(request, book(number), NOW_NS, now)
        return request and request.reason


def test_the_first_change_asks_for_a_snapshot_and_then_time_does() -> None:
    bench = Bench()
    assert bench.answer(5, 0.0) is None
    bench.take(10, 9, 1.0)
    assert bench.answer(10, 1.0) == "start"
    assert bench.answer(10, 800.0) is None
    assert bench.answer(50, 901.0) == "due"


def test_a_snapshot_from_before_the_chain_opens_nothing_and_is_asked_for_again() -> None:
    bench = Bench()
    bench.take(10, 9, 1.0)
    assert bench.answer(8, 1.0) == "start"
    assert bench.answer(9, 1.5) is None
    assert bench.answer(9, 2.0) == "start"  # the chain continues 9: the snapshot at 9 will do
    assert bench.answer(9, 9.0) is None


def test_a_break_closes_the_book_and_asks_at_once() -> None:
    bench = Bench()
    bench.take(10, 9, 1.0)
    bench.answer(10, 1.0)
    bench.states["BTCUSDT", "depth@100ms"].lose()
    bench.take(40, 30, 5.0)
    assert bench.answer(25, 5.0) == "break"
    assert bench.answer(35, 6.0) == "break"
    assert bench.answer(35, 7.0) is None


def test_an_overlap_of_changes_is_no_break() -> None:
    """The chain holds where a change begins at or before the end of the last one."""
    bench = Bench()
    bench.take(10, 9, 1.0)
    bench.answer(10, 1.0)
    bench.take(20, 8, 2.0)
    assert bench.states["BTCUSDT", "depth@100ms"].due_breaks(99.0) == []
    assert bench.answer(20, 2.0) is None


def test_closed_books_come_first_and_the_weight_is_a_bound() -> None:
    bench = Bench("BTCUSDT", "ETHUSDT", "XRPUSDT", per_minute=2)
    bench.take(10, 9, 0.0)
    assert bench.answer(10, 0.0) == "start"
    for symbol in ("ETHUSDT", "XRPUSDT"):
        bench.take(10, 9, 950.0, symbol)
    assert [bench.answer(10, 950.0) for _ in range(3)] == ["start", "start", None]
    assert bench.answer(10, 1011.0) == "due"


def test_the_line_says_how_many_levels_were_asked_for() -> None:
    bench = Bench()
    bench.take(10, 9, 1.0)
    bench.answer(10, 1.0)
    stored, record = bench.actions
    assert isinstance(stored, StoreLines)
    ((key, recv_ns, line),) = stored.lines
    assert (key, recv_ns) == (("BTCUSDT", "depthSnapshot"), NOW_NS)
    row = json.loads(line)
    assert list(row) == ["recv_ns", "conn", "stream", "limit", "data"]
    assert (row["conn"], row["stream"], row["limit"]) == ("rest", "btcusdt@depthSnapshot", 1000)
    assert line.endswith(book(10) + b"}")
    assert isinstance(record, LedgerRecord)
    assert record.event == "snapshot"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"lastUpdateId":"x"}', b"\xff", b'{"bids":[]}'])
def test_an_answer_that_is_no_book_is_not_stored(body: bytes) -> None:
    bench = Bench()
    bench.take(10, 9, 1.0)
    request = bench.scheduler.next_request(1.0)
    assert request is not None
    bench.scheduler.answered(request, body, NOW_NS, 1.0)
    assert bench.actions == []
    assert bench.answer(10, 2.0) == "start"


def test_spot_changes_chain_by_their_ranges() -> None:
    read = key_reader("depth@100ms", "spot")
    key = read(b'{"stream":"btcusdt@depth@100ms","data":{"E":1,"U":101,"u":110,"b":[],"a":[]}}')
    assert (key.number, key.previous) == (110, 100)


def test_forced_orders_are_told_apart_by_what_they_say() -> None:
    read = key_reader("forceOrder", "usdm")
    frame = '{"stream":"btcusdt@forceOrder","data":{"e":"forceOrder","E":5,"o":{"q":"%d"}}}'
    first, second = (read((frame % size).encode()) for size in (1, 2))
    assert first.id != second.id
    assert first == read((frame % 1).encode())
