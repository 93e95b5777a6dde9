"""A recorder that starts where another stopped: downtime is repaired, what is known stays out, holes are told."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from ofi_cvd.collect.resume import find_tail, merged
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.exchange.server import Exchange
from ofi_cvd.spool.hours import list_files
from ofi_cvd.spool.ledger import Ledger
from ofi_cvd.spool.seal import seal_closed_hours
from ofi_cvd.spool.writer import SpoolWriter, wrap
from tests.collect.rig import assert_whole, events, market, recording, repaired_ids, rows, settings

NOW_NS = time.time_ns()


def trade(number: int, at_ms: int) -> bytes:
    return b'{"e":"aggTrade","E":%d,"a":%d,"s":"BTCUSDT","p":"1.0","q":"2","f":1,"l":1,"T":%d,"m":true}' % (
        at_ms,
        number,
        at_ms,
    )


def write_trades(spool: Path, numbers: list[int], recv_ns: int = NOW_NS, *, repair: bool = False) -> None:
    with SpoolWriter(spool) as writer:
        for number in numbers:
            line = wrap(recv_ns, "rest" if repair else "m1", "btcusdt@aggTrade", trade(number, recv_ns // 10**6))
            hour_ms = recv_ns // 10**6 // HOUR_MS * HOUR_MS if repair else None
            writer.append("BTCUSDT", "aggTrade", recv_ns, line, repair=repair, hour_ms=hour_ms)


def tail(spool: Path, keep: int = 100):  # noqa: ANN201
    return find_tail(spool, "BTCUSDT", "aggTrade", "usdm", keep, NOW_NS // 10**6)


def test_an_empty_spool_has_no_tail(tmp_path: Path) -> None:
    assert tail(tmp_path).last is None
    assert tail(tmp_path).holes == ()


def test_the_tail_counts_repairs_and_finds_what_is_missing(tmp_path: Path) -> None:
    write_trades(tmp_path, [1, 2, 3, 7, 8, 11])
    write_trades(tmp_path, [5, 12], repair=True)
    found = tail(tmp_path)
    assert found.last == 12
    assert [hole[:2] for hole in found.holes] == [(4, 4), (6, 6), (9, 10)]
    assert found.recent == (1, 2, 3, 5, 7, 8, 11, 12)
    assert found.last_ns == NOW_NS


def test_a_torn_line_was_never_seen(tmp_path: Path) -> None:
    write_trades(tmp_path, [1, 2, 3])
    (file,) = list_files(tmp_path)
    assert file.plain is not None
    file.plain.write_bytes(file.plain.read_bytes()[:-20])
    assert tail(tmp_path).last == 2


def test_the_ledger_remembers_holes_that_the_tail_does_not_show(tmp_path: Path) -> None:
    """Open ones are tried again, repaired ones are settled, and what was given up stays given up."""
    write_trades(tmp_path, [100, 101, 105, 106])
    ledger = Ledger(tmp_path)
    about = {"recv_ns": NOW_NS, "symbol": "BTCUSDT", "stream": "aggTrade"}
    ledger.record("gap", **about, expected=10, received=20, missing=10)
    ledger.record("repaired", **about, expected=10, received=14, count=4)
    ledger.record("gap", **about, expected=50, received=52, missing=2)
    ledger.record("unrepairable", **about, expected=50, received=52, missing=2)
    ledger.record("unrepairable", **about, expected=102, received=104, missing=2)
    assert [hole[:2] for hole in tail(tmp_path).holes] == [(14, 19), (104, 104)]


def test_a_sealed_hour_is_read_as_well(tmp_path: Path) -> None:
    write_trades(tmp_path, [1, 2, 4], NOW_NS - 3 * HOUR_MS * 10**6)
    seal_closed_hours(tmp_path)
    (file,) = list_files(tmp_path)
    assert file.plain is None
    assert tail(tmp_path).last == 4
    then_ns = NOW_NS - 3 * HOUR_MS * 10**6
    assert tail(tmp_path).holes == ((3, 3, then_ns, then_ns),)


def test_ranges_merge() -> None:
    assert merged([(5, 6), (1, 2), (3, 3), (9, 9), (8, 12)]) == [(1, 3), (5, 6), (8, 12)]
    assert merged([]) == []


async def test_downtime_is_repaired_from_the_last_stored_id(tmp_path: Path) -> None:
    async with Exchange(market(rate=100)) as exchange:
        chosen = settings(exchange, tmp_path)
        async with recording(chosen) as run:
            await run.frames(60)
        stored = len(assert_whole(tmp_path))
        before = exchange.emitted["BTCUSDT"].last
        while exchange.emitted["BTCUSDT"].last < before + 50:  # noqa: ASYNC110  # the market goes on by itself
            await asyncio.sleep(0.02)
        async with recording(chosen) as run:
            await run.frames(60)
            await run.until(lambda stats: 50 <= stats.total("missing") == stats.total("repaired"))
    assert len(assert_whole(tmp_path)) > stored + 50
    (gap,) = events(tmp_path, "gap", "depth10@100ms")
    books = [row["recv_ns"] // 10**6 for row, _ in rows(tmp_path, "BTCUSDT", "depth10@100ms")]
    assert gap["start_ms"] in books
    assert gap["end_ms"] in books


async def test_a_repair_is_filed_under_the_hour_of_the_trade(tmp_path: Path) -> None:
    """Trades missed hours ago belong to those hours, whenever they are fetched."""
    then_ms = NOW_NS // 10**6 - 2 * HOUR_MS
    write_trades(tmp_path, [1000], then_ms * 10**6)
    exchange = Exchange(market(first_id=1200))
    for number in range(1001, 1200):
        exchange.emitted["BTCUSDT"].add(number, then_ms, trade(number, then_ms))
    async with exchange, recording(settings(exchange, tmp_path)) as run:
        await run.until(lambda stats: stats.total("repaired") >= 199)
    assert_whole(tmp_path)
    assert repaired_ids(tmp_path)[:199] == list(range(1001, 1200))
    for file in list_files(tmp_path):
        if file.repair and file.plain:
            times = {
                json.loads(line)["data"]["T"] // HOUR_MS * HOUR_MS for line in file.plain.read_bytes().splitlines()
            }
            assert times == {file.hour_ms}


async def test_a_hole_left_by_a_dead_rest_side_is_repaired_by_the_next_run(tmp_path: Path) -> None:
    async with Exchange(market(rate=100)) as exchange:
        exchange.inject("rest-500", count=1000)
        async with recording(settings(exchange, tmp_path)) as run:
            await run.frames(50)
            exchange.inject("gap", "btcusdt@aggTrade", count=5)
            await run.until(lambda stats: stats.total("missing") == 5)
            await run.frames(20)
        assert sum(row["missing"] for row in events(tmp_path, "gap", "aggTrade")) == 5
        assert repaired_ids(tmp_path) == []
        exchange.clear("rest-500")
        async with recording(settings(exchange, tmp_path)) as run:
            await run.until(lambda stats: stats.total("repaired") >= 5)
            await run.frames(20)
    assert_whole(tmp_path)
