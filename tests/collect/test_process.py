"""`ofi collect` as a process: one recorder per spool, a clean end on a signal, errors as one sentence."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from ofi_cvd.collect.recorder import record
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.errors import ExchangeError, InputError, LockedError, SpoolError
from ofi_cvd.exchange.server import Exchange
from ofi_cvd.spool.writer import SpoolWriter
from tests.collect.rig import assert_whole, events, market, recording, rows, settings

ROOT = Path(__file__).resolve().parents[2]


async def collect(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "cli.py",
        "collect",
        "--symbols",
        "BTCUSDT",
        *arguments,
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )


async def recorded(spool: Path, more_than: int) -> None:
    async with asyncio.timeout(30):
        while sum(1 for _ in rows(spool, "BTCUSDT", "aggTrade")) <= more_than:  # noqa: ASYNC110  # another process writes
            await asyncio.sleep(0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly_within_five_seconds(number: signal.Signals, tmp_path: Path) -> None:
    async with Exchange(market(rate=100)) as exchange:
        process = await collect("--endpoint", exchange.url, "--spool-dir", str(tmp_path))
        await recorded(tmp_path, 20)
        asked = time.monotonic()
        process.send_signal(number)
        _, said = await process.communicate()
        assert process.returncode == 0, said
        assert time.monotonic() - asked < 5
    assert len(events(tmp_path, "shutdown")) == 1
    assert_whole(tmp_path)
    assert b"INFO collect.connect conn=m1 route=market" in said
    assert b"recorded " in said.splitlines()[-1]


async def test_a_second_recorder_on_the_spool_is_refused(tmp_path: Path) -> None:
    async with Exchange(market()) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.frames(10)
        process = await collect("--endpoint", exchange.url, "--spool-dir", str(tmp_path))
        _, said = await process.communicate()
        assert process.returncode == 1
        assert b"held by another recorder" in said
        with pytest.raises(LockedError):
            await record(settings(exchange, tmp_path), stop=asyncio.Event())
        await run.frames(10)


async def test_the_lock_dies_with_its_owner(tmp_path: Path) -> None:
    async with Exchange(market(rate=100)) as exchange:
        process = await collect("--endpoint", exchange.url, "--spool-dir", str(tmp_path))
        await recorded(tmp_path, 5)
        process.kill()
        await process.communicate()
        async with recording(settings(exchange, tmp_path)) as run:
            await run.frames(50)
            await run.until(lambda stats: 0 < stats.total("missing") == stats.total("repaired"))
    assert_whole(tmp_path)


async def test_it_ends_by_itself_when_its_hours_are_over(tmp_path: Path) -> None:
    async with Exchange(market()) as exchange:
        await record(settings(exchange, tmp_path, run_hours=0.5 / 3600), stop=asyncio.Event(), stats=RecorderStats())
    assert [row["reason"] for row in events(tmp_path, "shutdown")] == ["over"]


@pytest.mark.parametrize("endpoint", ["http://exchange.example", "http://192.168.1.7:9443", "http://0.0.0.0:1"])
async def test_plain_text_to_another_machine_is_refused_before_anything_is_done(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="plain http and ws are allowed on loopback addresses only"):
        await record(settings(endpoint, tmp_path / "spool"), stop=asyncio.Event())
    assert not (tmp_path / "spool").exists()


async def test_an_exchange_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    """Connections are tried again, within the budget; the exchange's return is found."""
    async with Exchange(market()) as exchange:
        chosen, port = settings(exchange, tmp_path), exchange.port
    async with recording(chosen) as run:
        await asyncio.sleep(0.3)
        async with Exchange(market(), port=port):
            await run.frames(50)
    assert_whole(tmp_path)


async def test_nothing_received_is_no_success(tmp_path: Path) -> None:
    """A dead endpoint is said after a stated time, with what went wrong."""
    process = await collect(
        "--endpoint", "http://127.0.0.1:9", "--spool-dir", str(tmp_path), "--set", "FIRST_DATA_SECS=0.5"
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"expected data from http://127.0.0.1:9 within 2 s of the start, found none" in said
    assert b"ConnectionRefusedError" in said


async def test_a_symbol_that_brought_nothing_is_no_success(tmp_path: Path) -> None:
    async with Exchange(market()) as exchange:
        chosen = settings(exchange, tmp_path, symbols="BTCUSDT,NOPEUSDT", run_hours=2.5 / 3600)
        with pytest.raises(ExchangeError, match="found none of NOPEUSDT"):
            await record(chosen, stop=asyncio.Event())
    assert_whole(tmp_path)


async def test_the_writers_death_ends_the_recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Exchange(market()) as exchange:
        stats = RecorderStats()
        running = asyncio.create_task(record(settings(exchange, tmp_path), stop=asyncio.Event(), stats=stats))
        while not stats.total("received"):  # noqa: ASYNC110  # counters wake nobody
            await asyncio.sleep(0.01)
        monkeypatch.setattr(SpoolWriter, "flush", lambda *_: {}["unheard of"])
        with pytest.raises(SpoolError, match="unheard of"):
            await asyncio.wait_for(running, 30.0)


async def test_a_spool_that_is_deleted_while_it_is_written_is_noticed_within_seconds(tmp_path: Path) -> None:
    async with Exchange(market(rate=100)) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.frames(50)
        await asyncio.sleep(0.3)
        shutil.rmtree(next(tmp_path.glob("date=*")))  # noqa: ASYNC240  # a test may wait
        await run.until(lambda stats: stats.write_errors >= 2)
        await run.frames(50)
    assert {row["reason"] for row in events(tmp_path, "drop")} == {"deleted"}
    assert len(list(rows(tmp_path, "BTCUSDT", "aggTrade"))) >= 20
