"""A disk that refuses, a disk that is slow, a burst: what is lost on our side is counted, named and repaired."""

from __future__ import annotations

import errno
import logging
import os
import threading
from pathlib import Path

import pytest

from ofi_cvd.exchange.flood import FloodSource
from ofi_cvd.exchange.server import Exchange
from ofi_cvd.spool import appender
from tests.collect.rig import assert_whole, events, market, recording, repaired_ids, rows, settings


def refuse(_handle: int, _data: bytes) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_full_disk_is_outlived_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Three tries, then a loud word; once there is space everything retained is written, in order, nothing is lost."""
    async with Exchange(market(rate=100)) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.frames(50)
        with monkeypatch.context() as patch:
            patch.setattr(appender.os, "write", refuse)
            await run.until(lambda stats: stats.write_errors >= 4)
            await run.frames(50)
            assert run.stats.retained_bytes > 0
        await run.until(lambda stats: stats.retained_bytes == 0)
        await run.frames(20)
    ids = assert_whole(tmp_path)
    assert repaired_ids(tmp_path) == []
    assert events(tmp_path, "drop") == []
    assert events(tmp_path, "gap") == []
    stored = [row["data"]["a"] for row, _ in rows(tmp_path, "BTCUSDT", "aggTrade")]
    assert stored == ids
    said = [record for record in caplog.records if record.getMessage().startswith("spool.write_failing")]
    assert [record.levelno for record in said] == [logging.ERROR]


async def test_beyond_the_bound_drops_are_named_exactly_and_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flood = FloodSource(["BTCUSDT"], 6000.0)
    async with Exchange(flood) as exchange:
        chosen = settings(exchange, tmp_path, book_streams="bookTicker", retain_mb=1)
        async with recording(chosen) as run:
            await run.frames(1000)
            with monkeypatch.context() as patch:
                patch.setattr(appender.os, "write", refuse)
                await run.until(lambda stats: stats.total("dropped") > 500)
                assert run.stats.retained_bytes < 4 * 2**20
            await run.until(lambda stats: stats.retained_bytes == 0 and stats.write_errors > 0)
            await run.frames(1000)
            await run.until(lambda stats: 0 < stats.total("missing") == stats.total("repaired"))
    assert_whole(tmp_path)
    drops = events(tmp_path, "drop", "aggTrade")
    dropped = {number for row in drops for first, last in row["ids"] for number in range(first, last + 1)}
    assert sorted(dropped) == repaired_ids(tmp_path)
    assert sum(row["count"] for row in drops) == len(dropped)
    assert events(tmp_path, "drop", "bookTicker")
    assert events(tmp_path, "gap", "bookTicker")


async def test_a_queue_that_overflows_loses_nothing_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk blocks: the socket is read on, what does not fit is dropped by name, and fetched again."""
    write, held = os.write, threading.Event()

    def blocked(handle: int, data: bytes) -> int:
        held.wait(30)
        return write(handle, data)

    async with Exchange(market(rate=200)) as exchange, recording(settings(exchange, tmp_path, queue_frames=100)) as run:
        await run.frames(50)
        with monkeypatch.context() as patch:
            patch.setattr(appender.os, "write", blocked)
            await run.until(lambda stats: stats.total("dropped") > 50)
            held.set()
        await run.frames(50)
        await run.until(lambda stats: 0 < stats.total("missing") == stats.total("repaired"))
    assert_whole(tmp_path)
    dropped = {
        number
        for row in events(tmp_path, "drop", "aggTrade")
        for first, last in row["ids"]
        for number in range(first, last + 1)
    }
    assert dropped == set(repaired_ids(tmp_path))
    assert events(tmp_path, "gap", "depth10@100ms")


async def test_a_burst_is_stored_whole(tmp_path: Path) -> None:
    """2,000 trades and 3,000 quotes a second, five times what was ever reported."""
    async with (
        Exchange(FloodSource(["BTCUSDT"], 5000.0)) as exchange,
        recording(settings(exchange, tmp_path, book_streams="bookTicker")) as run,
    ):
        await run.frames(25_000)
    ids = assert_whole(tmp_path)
    assert len(ids) >= 9_000
    assert run.stats.total("dropped") == 0
    assert events(tmp_path, "gap") == []
