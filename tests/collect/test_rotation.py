"""Connections that are replaced all the time: nothing lost, nothing twice, no gap in a book."""

from __future__ import annotations

from pathlib import Path

from ofi_cvd.exchange.server import Exchange
from tests.collect.rig import assert_whole, book_breaks, events, market, recording, repaired_ids, settings

ROTATIONS = 50


async def test_fifty_rotations_lose_and_repeat_nothing(tmp_path: Path) -> None:
    async with Exchange(market(rate=200)) as exchange:
        chosen = settings(exchange, tmp_path, conn_life_secs=0.4, book_streams="depth10@100ms,bookTicker")
        async with recording(chosen) as run:
            await run.until(lambda stats: stats.rotations >= ROTATIONS)
        served = exchange.counters["rest"]
    ids = assert_whole(tmp_path)
    assert len(ids) == ids[-1] - ids[0] + 1
    assert repaired_ids(tmp_path) == []
    assert served <= 10  # the clock's questions; no trade was asked for
    assert events(tmp_path, "gap") == []
    assert book_breaks(tmp_path, "BTCUSDT", "depth10@100ms") == []
    assert len(events(tmp_path, "rotate")) >= ROTATIONS
    assert run.stats.total("duplicates") > 0  # the overlap was there, and was taken out
    assert run.stats.reconnects == 0
