"""The proof counts what is there: it must see a hole, a repetition and a late end."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofi_cvd.demo.proof import book_gaps_s, held
from tests.spool_files import write_spool

HOUR_NS = 1_760_652_000_000_000_000


def trade(trade_id: int, conn: str = "m1") -> dict[str, object]:
    """A frame with this id, a millisecond after the one before."""
    now_ns = HOUR_NS + trade_id * 1_000_000
    at = now_ns // 1_000_000
    data = {"e": "aggTrade", "E": at, "T": at, "a": trade_id, "p": "1.5", "q": "2", "m": True}
    return {"recv_ns": now_ns, "conn": conn, "stream": "btcusdt@aggTrade", "data": data}


def test_a_spool_without_trades(tmp_path: Path) -> None:
    nothing = held(tmp_path, "BTCUSDT")
    assert (nothing.ids, nothing.lines, nothing.duplicates, nothing.missing(5)) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("ids", "emitted", "missing", "duplicates"),
    [
        ([10, 11, 12], 12, 0, 0),
        ([10, 11, 13], 13, 1, 0),
        ([10, 11, 11, 12], 12, 0, 1),
        ([10, 11, 12], 15, 3, 0),
        ([10, 11, 12], 11, 0, 0),
    ],
    ids=["whole", "hole", "twice", "not caught up", "asked for a moment before the end"],
)
def test_what_is_counted(tmp_path: Path, ids: list[int], emitted: int, missing: int, duplicates: int) -> None:
    write_spool(tmp_path, map(trade, ids))
    found = held(tmp_path, "BTCUSDT")
    assert (found.missing(emitted), found.duplicates) == (missing, duplicates)
    assert (found.first, found.last, found.lines) == (10, max(ids), len(ids))


def test_a_repair_fills_a_hole_and_is_counted(tmp_path: Path) -> None:
    write_spool(tmp_path, [trade(10), trade(13), trade(11, "rest"), trade(12, "rest")])
    found = held(tmp_path, "BTCUSDT")
    assert (found.missing(13), found.fetched, found.ids) == (0, 2, 4)


def test_a_torn_line_is_no_trade(tmp_path: Path) -> None:
    write_spool(tmp_path, map(trade, [10, 11]))
    path = next(tmp_path.rglob("BTCUSDT.aggTrade.ndjson"))
    path.write_bytes(path.read_bytes() + b'{"recv_ns":17606520')
    assert (held(tmp_path, "BTCUSDT").lines, held(tmp_path, "BTCUSDT").missing(11)) == (2, 0)


def test_holes_of_books_are_read_from_the_ledger(tmp_path: Path) -> None:
    gaps = [
        {"recv_ns": HOUR_NS, "event": "gap", "symbol": "BTCUSDT", "stream": stream, "start_ms": 1_000, "end_ms": end_ms}
        for stream, end_ms in (("btcusdt@depth10@100ms", 3_500), ("btcusdt@aggTrade", 9_000))
    ]
    write_spool(tmp_path, [], gaps)
    assert book_gaps_s(tmp_path, "aggTrade") == [2.5]
