"""A recorder that starts where another stopped: downtime is repaired, what is known stays out, id_gaps are told."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from ofi_cvd.binance.keys import Key
from ofi_cvd.collect.id_gaps import IdGap, merged
from ofi_cvd.collect.lookback import StreamRecords, open_gaps, read_records, unsaid_breaks
from ofi_cvd.collect.resume import Tail, TailLine, find_tail
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.exchange.server import Exchange
from ofi_cvd.spool.layout import hour_of_ns, ledger_path, list_files, list_hours
from ofi_cvd.spool.ledger import Ledger
from ofi_cvd.spool.line import wrap
from ofi_cvd.spool.seal import seal_closed_hours
from ofi_cvd.spool.writer import SpoolWriter
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


BTC = ("BTCUSDT", "aggTrade")


def tail(spool: Path) -> Tail:
    return find_tail(spool, [hour_ms for hour_ms, _ in list_hours(spool)], *BTC, "usdm")


def gaps_of(spool: Path) -> list[IdGap]:
    now_ms = NOW_NS // 10**6
    hours_ms, records = read_records(spool, now_ms)
    return open_gaps(spool, hours_ms, BTC, "usdm", records.get(BTC, StreamRecords()), now_ms)


def ranges(gaps: list[IdGap]) -> list[tuple[int, int]]:
    return [(gap.first, gap.last) for gap in gaps]


def test_an_empty_spool_has_no_tail(tmp_path: Path) -> None:
    assert tail(tmp_path).lines == ()
    assert gaps_of(tmp_path) == []


def test_the_tail_is_the_newest_lines_and_what_is_missing_is_found_beside_repairs(tmp_path: Path) -> None:
    write_trades(tmp_path, [1, 2, 3, 7, 8, 11])
    write_trades(tmp_path, [5, 12], repair=True)
    assert [key.number for key, _ in tail(tmp_path).keys] == [1, 2, 3, 7, 8, 11]
    assert {recv_ns for _, recv_ns in tail(tmp_path).keys} == {NOW_NS}
    assert ranges(gaps_of(tmp_path)) == [(4, 4), (6, 6), (9, 10)]
    assert not any(gap.reported for gap in gaps_of(tmp_path))


def test_a_torn_line_was_never_seen(tmp_path: Path) -> None:
    write_trades(tmp_path, [1, 2, 3])
    (file,) = list_files(tmp_path)
    assert file.plain is not None
    file.plain.write_bytes(file.plain.read_bytes()[:-20])
    assert [key.number for key, _ in tail(tmp_path).keys] == [1, 2]


def test_a_line_nested_too_deep_is_passed_over(tmp_path: Path) -> None:
    write_trades(tmp_path, [1, 2])
    (file,) = list_files(tmp_path)
    assert file.plain is not None
    deep = b'{"recv_ns":1,"data":' + b"[" * 3000 + b"]" * 3000 + b"}\n"
    with file.plain.open("ab") as out:
        out.write(deep)
    Ledger(tmp_path).record("shutdown", recv_ns=NOW_NS)
    with ledger_path(tmp_path, hour_of_ns(NOW_NS)).open("ab") as out:
        out.write(deep)
    assert [key.number for key, _ in tail(tmp_path).keys] == [1, 2]
    assert gaps_of(tmp_path) == []


def test_the_ledger_remembers_gaps_that_the_tail_does_not_show(tmp_path: Path) -> None:
    """Open ones are tried again, repaired ones are settled, and what was given up is asked for once more."""
    write_trades(tmp_path, [100, 101, 105, 106])
    ledger = Ledger(tmp_path)
    about = {"recv_ns": NOW_NS, "symbol": "BTCUSDT", "stream": "aggTrade"}
    ledger.record("gap", **about, expected=10, received=20, missing=10)
    ledger.record("repaired", **about, expected=10, received=14, count=4)
    ledger.record("gap", **about, expected=50, received=52, missing=2)
    ledger.record("unrepairable", **about, expected=50, received=52, missing=2)
    ledger.record("gap", **about, expected=102, received=105, missing=3)
    ledger.record("repaired", **about, expected=102, received=104, missing=2)
    found = gaps_of(tmp_path)
    assert ranges(found) == [(14, 19), (50, 51), (104, 104)]
    assert all(gap.reported for gap in found)


def test_single_trades_that_were_given_up_stay_given_up(tmp_path: Path) -> None:
    records = StreamRecords([IdGap(1, 5, 0, 0, reported=True)], [], [(2, 3)])
    found = open_gaps(tmp_path, [], ("BTCUSDT", "trade"), "usdm", records, NOW_NS // 10**6)
    assert ranges(found) == [(1, 1), (4, 5)]


def test_thousands_of_gap_records_are_one_sweep(tmp_path: Path) -> None:
    """Looking back must not grow with the square of them: a hundred thousand are settled in seconds."""
    gaps = [IdGap(10 * number, 10 * number + 5, 0, 0, reported=True) for number in range(100_000)]
    repaired = [(10 * number, 10 * number + 3) for number in range(0, 100_000, 2)]
    found = open_gaps(tmp_path, [], BTC, "usdm", StreamRecords(gaps, repaired), NOW_NS // 10**6)
    assert len(found) == 100_000
    assert found[0].first == 4
    assert sum(gap.missing for gap in found) == 50_000 * 2 + 50_000 * 6


def test_a_sealed_hour_is_read_as_well(tmp_path: Path) -> None:
    then_ns = NOW_NS - 3 * HOUR_MS * 10**6
    write_trades(tmp_path, [1, 2, 4], then_ns)
    seal_closed_hours(tmp_path)
    (file,) = list_files(tmp_path)
    assert file.plain is None
    assert [key.number for key, _ in tail(tmp_path).keys] == [1, 2, 4]
    (gap,) = gaps_of(tmp_path)
    assert (gap.first, gap.last, gap.start_ns, gap.end_ns) == (3, 3, then_ns, then_ns)


def lines(*rows: tuple[int, int | None, str, float]) -> Tail:
    """Return a tail of (id, previous id, connection, seconds)."""
    return Tail(tuple(TailLine(Key(u, u, pu, None), round(at * 1e9), conn) for u, pu, conn, at in rows))


def test_a_break_of_the_chain_just_before_a_crash_is_found(tmp_path: Path) -> None:
    """The crash came before the judgement; one that the ledger knows, or an older one, is not told again."""
    chain = lines((1, 0, "p1", 1), (3, 2, "p1", 2), (4, 3, "p1", 9), (6, 5, "p1", 10), (8, 7, "p1", 11))
    found = unsaid_breaks(chain, StreamRecords(break_ends_ms={11_000}), is_chained=True)
    assert [(gap.expected, gap.previous, gap.start_ns, gap.end_ns) for gap in found] == [(4, 5, 9 * 10**9, 10 * 10**9)]


def test_a_connection_that_began_just_before_a_crash_is_taken_to_have_left_a_gap() -> None:
    quotes = lines(
        (1, None, "p1", 1), (2, None, "p2", 2), (5, None, "p2", 9), (9, None, "p3", 9.5), (10, None, "p2", 10)
    )
    (found,) = unsaid_breaks(quotes, StreamRecords(), is_chained=False)
    assert (found.start_ns, found.end_ns) == (9 * 10**9, round(9.5 * 10**9))
    assert unsaid_breaks(quotes, StreamRecords(break_ends_ms={9500}), is_chained=False) == []


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
