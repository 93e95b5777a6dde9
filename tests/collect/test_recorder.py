"""The whole recorder against the built-in exchange, undisturbed."""

from __future__ import annotations

import json
from pathlib import Path

from ofi_cvd.exchange.server import Exchange
from ofi_cvd.spool.layout import list_files
from ofi_cvd.spool.reader import read_lines
from tests.collect.rig import assert_whole, book_breaks, events, market, recording, rows, settings


async def test_records_every_stream_verbatim(tmp_path: Path) -> None:
    """What was sent is on the disk byte for byte behind the two keys, ids and chains are whole, the ledger tells."""
    async with Exchange(market("BTCUSDT", "ETHUSDT")) as exchange:
        chosen = settings(exchange, tmp_path, symbols="BTCUSDT,ETHUSDT", book_streams="depth10@100ms,bookTicker")
        async with recording(chosen) as run:
            await run.frames(300)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        assert_whole(tmp_path, symbol)
        assert book_breaks(tmp_path, symbol, "depth10@100ms") == []
        assert any(rows(tmp_path, symbol, "bookTicker"))
    assert len(events(tmp_path, "connect")) == 2
    assert {row["route"] for row in events(tmp_path, "connect")} == {"market", "public"}
    assert len(events(tmp_path, "clock")) == 1
    assert events(tmp_path, "gap") == []
    assert len(events(tmp_path, "shutdown")) == 1
    assert run.stats.total("received") == sum(1 for file in list_files(tmp_path) for _ in read_lines(file))


async def test_a_line_is_the_frame_with_two_keys_in_front(tmp_path: Path) -> None:
    async with Exchange(market()) as exchange:
        async with recording(settings(exchange, tmp_path)) as run:
            await run.frames(20)
        history = exchange.emitted["BTCUSDT"]
        first = history.first
    (file,) = list_files(tmp_path, streams=["aggTrade"])
    line = next(iter(read_lines(file)))
    row = json.loads(line)
    assert list(row) == ["recv_ns", "conn", "stream", "data"]
    assert line.startswith(b'{"recv_ns":%d,"conn":"m' % row["recv_ns"])
    assert b',"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":' in line
    assert row["data"]["a"] >= first
