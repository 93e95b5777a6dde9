"""Spot: one connection without routes, books without a chain or a clock."""

from __future__ import annotations

import json
from pathlib import Path

from ofi_cvd.exchange.server import Exchange
from ofi_cvd.exchange.venue_limits import limits_of
from tests.collect.rig import assert_whole, events, market, recording, repaired_ids, rows, settings


async def test_spot_is_recorded_and_repaired(tmp_path: Path) -> None:
    async with Exchange(market(rate=100), limits=limits_of("spot")) as exchange:
        chosen = settings(exchange, tmp_path, market="spot", book_streams="depth10@100ms,bookTicker")
        async with recording(chosen) as run:
            await run.frames(100)
            exchange.inject("gap", "btcusdt@aggTrade", count=5)
            await run.until(lambda stats: stats.total("repaired") == 5)
            assert events(tmp_path, "gap", "depth10@100ms") == []
            exchange.inject("reset")
            await run.until(lambda stats: stats.reconnects == 1)
            await run.frames(50)
            await run.until(lambda stats: stats.total("missing") == stats.total("repaired"))
            await run.until(lambda stats: stats.total("breaks") == 2)
    assert_whole(tmp_path)
    assert set(range(5)) <= {number - min(repaired_ids(tmp_path)) for number in repaired_ids(tmp_path)}
    assert [row["route"] for row in events(tmp_path, "connect")] == [None, None]
    books = [row["data"] for row, _ in rows(tmp_path, "BTCUSDT", "depth10@100ms")]
    assert all("lastUpdateId" in book and "E" not in book for book in books)
    for stream in ("depth10@100ms", "bookTicker"):  # no chain: every time without a connection is a gap
        (gap,) = events(tmp_path, "gap", stream)
        assert gap["start_ms"] <= gap["end_ms"]
    json.dumps(run.stats.facts())
