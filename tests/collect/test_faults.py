"""Every fault of the built-in exchange: afterwards trade ids are whole or the gap is in the ledger, none is twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofi_cvd.exchange.faults import make_fault
from ofi_cvd.exchange.server import Exchange
from tests.collect.rig import (
    assert_whole,
    book_breaks,
    events,
    market,
    recording,
    repaired_ids,
    rows,
    settings,
)

DEPTH = "depth10@100ms"


def assert_breaks_told(spool: Path) -> None:
    """Assert that the ledger names every break of the book's chain on the disk, and no other."""
    told = [row["expected"] for row in events(spool, "gap", DEPTH)]
    assert told == [before for before, _ in book_breaks(spool, "BTCUSDT", DEPTH)]


@pytest.mark.parametrize("fault", ["reset", "close"])
async def test_a_lost_connection_is_replaced_and_its_hole_repaired(fault: str, tmp_path: Path) -> None:
    async with Exchange(market(rate=100)) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.frames(100)
        assert exchange.inject(fault) == 2
        await run.until(lambda stats: stats.reconnects == 2)
        await run.frames(100)
        await run.until(lambda stats: stats.total("missing") == stats.total("repaired"))
    assert_whole(tmp_path)
    assert_breaks_told(tmp_path)
    assert len(events(tmp_path, "disconnect")) == 4
    assert len(events(tmp_path, "connect")) == 4


async def test_a_half_open_connection_is_found_by_its_silence(tmp_path: Path) -> None:
    """Nothing tells of it but the missing data: no close, no error, not even a missing pong matters."""
    async with Exchange(market(rate=200)) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.frames(150)
        exchange.inject("stall")
        await run.until(lambda stats: stats.reconnects >= 2)
        await run.frames(100)
        await run.until(lambda stats: 0 < stats.total("missing") == stats.total("repaired"))
    assert_whole(tmp_path)
    assert_breaks_told(tmp_path)
    assert {row["stream"] for row in events(tmp_path, "silent")} == {"aggTrade", DEPTH}
    assert {row["phase"] for row in events(tmp_path, "silent")} == {"silence"}


async def test_one_silent_stream_is_found_although_others_flow(tmp_path: Path) -> None:
    """The watchdog is per stream, not per connection."""
    async with (
        Exchange(market("BTCUSDT", "ETHUSDT")) as exchange,
        recording(settings(exchange, tmp_path, symbols="BTCUSDT,ETHUSDT")) as run,
    ):
        await run.frames(300)
        exchange.inject("silent", "btcusdt@aggTrade")
        await run.until(lambda stats: stats.reconnects >= 1)
        await run.until(lambda stats: 0 < stats.total("missing") == stats.total("repaired"))
    assert_whole(tmp_path)
    assert_whole(tmp_path, "ETHUSDT")
    (silent,) = events(tmp_path, "silent")
    assert (silent["symbol"], silent["stream"]) == ("BTCUSDT", "aggTrade")
    assert not [row for row in events(tmp_path, "gap") if row["symbol"] == "ETHUSDT"]


async def test_an_acknowledged_stream_without_data_is_reported_and_its_connection_replaced(tmp_path: Path) -> None:
    """A wrong route or a bogus name is acknowledged and then silent, without an error: first data has a deadline."""
    async with Exchange(market()) as exchange:
        exchange.inject("wrong-route", count=1)
        async with recording(settings(exchange, tmp_path)) as run:
            await run.until(lambda stats: stats.silent >= 1)
            await run.until(lambda stats: all(row.received > 20 for row in stats.streams.values()))
    assert_whole(tmp_path)
    assert [row["phase"] for row in events(tmp_path, "silent")] == ["first data"]


async def test_repeated_frames_are_stored_once(tmp_path: Path) -> None:
    faults = [make_fault("dup", chance=0.2)]
    async with Exchange(market(), faults=faults) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.frames(200)
    assert run.stats.total("duplicates") > 10
    assert_whole(tmp_path)
    books = [row["data"]["u"] for row, _ in rows(tmp_path, "BTCUSDT", DEPTH)]
    assert len(books) == len(set(books))


async def test_swapped_frames_are_no_holes(tmp_path: Path) -> None:
    """What comes a moment late is neither a gap in the ledger nor a reason to ask REST."""
    faults = [make_fault("reorder", chance=0.2)]
    async with Exchange(market(rate=100), faults=faults) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.frames(300)
        exchange.clear("reorder")
        served = exchange.counters["rest"]
        await run.frames(200)
        assert exchange.counters["rest"] == served
    ids = [row["data"]["a"] for row, _ in rows(tmp_path, "BTCUSDT", "aggTrade")]
    assert ids != sorted(ids)
    assert events(tmp_path, "gap") == []
    assert repaired_ids(tmp_path) == []


async def test_skipped_ids_are_fetched_into_the_repair_file(tmp_path: Path) -> None:
    async with Exchange(market()) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.frames(50)
        exchange.inject("gap", "btcusdt@aggTrade", count=7)
        await run.until(lambda stats: stats.total("repaired") == 7)
        await run.frames(20)
    assert_whole(tmp_path)
    (gap,) = events(tmp_path, "gap", "aggTrade")
    assert gap["missing"] == 7
    assert repaired_ids(tmp_path) == list(range(gap["expected"], gap["received"]))
    assert gap["start_ms"] <= gap["end_ms"]
    (repaired,) = events(tmp_path, "repaired")
    assert (repaired["expected"], repaired["received"]) == (gap["expected"], gap["received"])
    row = next(row for row, repair in rows(tmp_path, "BTCUSDT", "aggTrade") if repair)
    assert row["conn"] == "rest"
    assert "E" not in row["data"]


async def test_skipped_books_are_a_gap_and_never_invented(tmp_path: Path) -> None:
    async with Exchange(market()) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.frames(50)
        exchange.inject("gap", f"btcusdt@{DEPTH}", count=3)
        await run.until(lambda stats: stats.total("breaks") == 1)
    assert len(book_breaks(tmp_path, "BTCUSDT", DEPTH)) == 1
    assert_breaks_told(tmp_path)


async def test_what_the_venue_refuses_is_asked_for_again_by_the_next_start(tmp_path: Path) -> None:
    """A refusal is no word about the ids: nothing is given up."""
    async with Exchange(market()) as exchange:
        async with recording(settings(exchange, tmp_path)) as run:
            await run.until(lambda stats: stats.clock_offset_ms is not None)
            await run.frames(50)
            exchange.inject("rest-500", "403", count=1000)
            exchange.inject("gap", "btcusdt@aggTrade", count=4)
            await run.until(lambda stats: stats.total("missing") == 4)
            await run.frames(20)
        assert events(tmp_path, "unrepairable") == []
        exchange.clear("rest-500")
        async with recording(settings(exchange, tmp_path)) as run:
            await run.until(lambda stats: stats.total("repaired") >= 4)
    assert_whole(tmp_path)


@pytest.mark.parametrize(
    ("fault", "value", "count"), [("rest-429", "1", 1), ("rest-500", "500", 2), ("rest-timeout", "0.3", 1)]
)
async def test_repair_survives_a_rest_side_in_trouble(fault: str, value: str, count: int, tmp_path: Path) -> None:
    async with Exchange(market()) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.until(lambda stats: stats.clock_offset_ms is not None)
        await run.frames(50)
        exchange.inject(fault, value, count=count)
        exchange.inject("gap", "btcusdt@aggTrade", count=3)
        await run.until(lambda stats: stats.total("repaired") == 3)
        assert exchange.fault_injector.fired[fault] == count
    assert_whole(tmp_path)


async def test_garbage_is_counted_and_disturbs_nothing(tmp_path: Path) -> None:
    async with Exchange(market()) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.frames(50)
        exchange.inject("garbage", count=40)
        await run.frames(100)
        await run.until(lambda stats: stats.total("missing") == stats.total("repaired"))
        assert exchange.fault_injector.fired["garbage"] == 40
        assert run.stats.reconnects == 0
    assert_whole(tmp_path)
    told = [row for row in events(tmp_path, "drop") if row["reason"] == "unreadable"]
    assert told
    assert sum(row["count"] for row in told) <= 40
    assert {path.name for path in tmp_path.rglob("*.ndjson")} == {  # noqa: ASYNC240  # a test may wait
        "BTCUSDT.aggTrade.ndjson",
        f"BTCUSDT.{DEPTH}.ndjson",
        "_ledger.ndjson",
    }


async def test_an_oversized_frame_ends_the_connection_and_not_the_recorder(tmp_path: Path) -> None:
    async with Exchange(market()) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.frames(50)
        exchange.inject("oversize", "2")
        await run.until(lambda stats: stats.reconnects == 1)
        await run.frames(100)
        await run.until(lambda stats: stats.total("missing") == stats.total("repaired"))
    assert_whole(tmp_path)
    assert any("1009" in row["reason"] for row in events(tmp_path, "disconnect"))


async def test_a_server_that_announces_its_end_is_left_in_time(tmp_path: Path) -> None:
    """Make before break: nothing is lost, nothing needs repair, the book has no gap."""
    async with Exchange(market(rate=100)) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.frames(100)
        exchange.inject("shutdown", "5")
        await run.until(lambda stats: stats.rotations == 2)
        await run.frames(100)
    assert_whole(tmp_path)
    assert repaired_ids(tmp_path) == []
    assert events(tmp_path, "gap") == []
    assert book_breaks(tmp_path, "BTCUSDT", DEPTH) == []
    assert {row["reason"] for row in events(tmp_path, "rotate")} == {"serverShutdown"}


async def test_a_slow_line_is_seen_in_the_latency_and_loses_nothing(tmp_path: Path) -> None:
    async with Exchange(market(rate=100)) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.frames(100)
        exchange.inject("slow", "5000")
        await run.until(lambda stats: (stats.stream("BTCUSDT", "aggTrade").latency_ms.quantile(0.99) or 0) > 500)
        exchange.clear("slow")
        await run.frames(300)
        await run.until(lambda stats: stats.total("missing") == stats.total("repaired"))
    assert_whole(tmp_path)


async def test_the_venues_clock_is_measured(tmp_path: Path) -> None:
    faults = [make_fault("clock", "5000")]
    async with Exchange(market(), faults=faults) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.until(lambda stats: stats.clock_offset_ms is not None)
    (reading,) = events(tmp_path, "clock")
    assert reading["offset_ms"] == pytest.approx(5000, abs=200)
    assert reading["rtt_ms"] >= 0


async def test_everything_at_once(tmp_path: Path) -> None:
    faults = [
        make_fault("reset", every_s=2.3),
        make_fault("close", every_s=3.7),
        make_fault("stall", every_s=5.3),
        make_fault("shutdown", "1", every_s=3.1),
        make_fault("dup", chance=0.02),
        make_fault("reorder", chance=0.02),
        make_fault("gap", chance=0.003),
        make_fault("garbage", every_s=0.4),
        make_fault("rest-500", chance=0.2),
        make_fault("rest-429", "1", chance=0.05),
    ]
    async with (
        Exchange(market(rate=200), faults=faults, seed=1) as exchange,
        recording(settings(exchange, tmp_path)) as run,
    ):
        await run.frames(900)
        await run.until(lambda stats: stats.total("missing") == stats.total("repaired"))
    assert_whole(tmp_path, may_end_open=True)
    assert_breaks_told(tmp_path)
    assert run.stats.reconnects > 0
