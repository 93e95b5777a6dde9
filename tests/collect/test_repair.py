"""Repair against a venue in memory: what is had, what is not, what is put off."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs

import httpx
import msgspec
import pytest

from ofi_cvd.binance.endpoints import resolve
from ofi_cvd.binance.rest import RestClient
from ofi_cvd.collect.actions import Fetch, Note
from ofi_cvd.collect.clock import read_clock
from ofi_cvd.collect.repair import EMPTY_TRIES, Repairer
from ofi_cvd.collect.spooler import Repair
from ofi_cvd.collect.stats import StreamStats
from ofi_cvd.collect.track import Hole, Track
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import ExchangeError

NOW_S = 50_000.0


async def no_wait(_seconds: float) -> None: ...


def rest(answer: Callable[[httpx.Request], httpx.Response]) -> RestClient:
    endpoint = resolve("https://exchange.example", "usdm")
    return RestClient(endpoint, "usdm", sleep=no_wait, rand=lambda: 0.0, transport=httpx.MockTransport(answer))


def shop(ids: set[int]) -> Callable[[httpx.Request], httpx.Response]:
    """Return a venue that has exactly these trades, one an hour."""

    def answer(request: httpx.Request) -> httpx.Response:
        query = parse_qs(request.url.query.decode())
        wanted = [number for number in sorted(ids) if number >= int(query["fromId"][0])][: int(query["limit"][0])]
        rows = [{"a": n, "p": "1", "q": "2", "f": n, "l": n, "T": n * HOUR_MS + 5, "m": False} for n in wanted]
        return httpx.Response(200, content=msgspec.json.encode(rows))

    return answer


class Bench:
    """A repairer with one hole."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response], first: int, last: int) -> None:
        self.track = Track("BTCUSDT", "aggTrade", 10_000, StreamStats())
        self.track.holes = [Hole(first, last, 0, 0, 0.0, fetching=True)]
        self.fetch = Fetch(self.track, first, last)
        self.stored: list[Repair] = []
        self.notes: list[Note] = []
        self.rest = rest(answer)
        self.repairer = Repairer(self.rest, self.put, self.notes.append, lambda: NOW_S, lambda: 7)

    async def put(self, repair: Repair) -> None:
        self.stored.append(repair)

    async def run(self, times: int = 1) -> None:
        async with self.rest:
            for _ in range(times):
                await self.repairer.run(self.fetch)

    def told(self, event: str) -> list[tuple[object, object]]:
        return [(note.facts["expected"], note.facts["received"]) for note in self.notes if note.event == event]


async def test_many_pages_are_fetched_and_filed_by_hour() -> None:
    bench = Bench(shop(set(range(5000))), 100, 2600)
    await bench.run()
    assert [repair.hour_ms for repair in bench.stored] == [number * HOUR_MS for number in range(100, 2601)]
    assert bench.told("repaired") == [(100, 2601)]
    assert bench.track.holes == []
    assert bench.stored[0].line.startswith(b'{"recv_ns":7,"conn":"rest","stream":"btcusdt@aggTrade","data":{"a":100,')
    assert bench.track.stats.repaired == 2501


async def test_ids_that_the_venue_skips_are_given_up_one_by_one() -> None:
    bench = Bench(shop({1, 2, 5, 6, 9}), 1, 8)
    await bench.run(EMPTY_TRIES)
    assert bench.told("repaired") == [(1, 3), (5, 7)]
    assert bench.told("unrepairable") == [(3, 5), (7, 9)]
    assert bench.track.holes == []


async def test_nothing_there_yet_is_asked_again_before_it_is_given_up() -> None:
    """Just after the fact the venue's REST side may lag behind its stream."""
    bench = Bench(shop(set()), 1, 3)
    await bench.run(EMPTY_TRIES - 1)
    assert bench.notes == []
    (hole,) = bench.track.holes
    assert not hole.fetching
    assert hole.due > NOW_S
    bench.rest = rest(shop(set()))
    bench.repairer.rest = bench.rest
    await bench.run()
    assert bench.told("unrepairable") == [(1, 4)]


async def test_a_venue_in_trouble_puts_the_repair_off_and_nothing_is_given_up() -> None:
    bench = Bench(lambda _: httpx.Response(503), 1, 3)
    await bench.run()
    assert bench.notes == []
    (hole,) = bench.track.holes
    assert not hole.fetching
    assert hole.due > NOW_S
    bench.rest = bench.repairer.rest = rest(shop({1, 2, 3}))
    await bench.run()
    assert bench.told("repaired") == [(1, 4)]


async def test_what_the_stream_brings_meanwhile_is_not_stored_twice() -> None:
    bench = Bench(shop(set(range(10))), 1, 5)
    bench.track.forget(3, 3)
    await bench.run()
    assert [repair.hour_ms // HOUR_MS for repair in bench.stored] == [1, 2, 4, 5]
    assert bench.told("repaired") == [(1, 3), (4, 6)]


async def test_single_trades_cannot_be_fetched_by_id_without_a_key() -> None:
    bench = Bench(shop(set()), 1, 3)
    bench.track.stream = "trade"
    await bench.run()
    assert bench.told("unrepairable") == [(1, 4)]


async def test_the_clocks_offset_is_the_median_over_the_middle_of_the_round_trips() -> None:
    now_ns = iter([0, 10_000_000, 20_000_000, 30_000_000, 40_000_000, 140_000_000])
    times = iter([1005, 1025, 1500])
    async with rest(lambda _: httpx.Response(200, json={"serverTime": next(times)})) as client:
        reading = await read_clock(client, lambda: next(now_ns), samples=3)
    assert (reading.offset_ms, reading.rtt_ms) == (1000.0, 10.0)


async def test_a_clock_that_cannot_be_asked_is_unknown() -> None:
    async with rest(lambda _: httpx.Response(503)) as client:
        with pytest.raises(ExchangeError):
            await read_clock(client, lambda: 0)
