"""Repair against a venue in memory: what is had, what is not, what is put off, and in which order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs

import httpx
import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ofi_cvd.binance.endpoints import resolve
from ofi_cvd.binance.keys import RestTrade
from ofi_cvd.binance.rest import RestClient
from ofi_cvd.collect.actions import Action, LedgerRecord, StoreRepair, StreamKey
from ofi_cvd.collect.clock import read_clock
from ofi_cvd.collect.fetcher import Fetcher
from ofi_cvd.collect.id_gaps import IdGap
from ofi_cvd.collect.repair import LONGEST_REFUSED_S, RepairScheduler, TradesRequest
from ofi_cvd.collect.snapshots import SnapshotScheduler
from ofi_cvd.collect.stats import StreamStats
from ofi_cvd.collect.stream_state import StreamState
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import ExchangeError
from tests.collect import repairs

FIRST_MS = 1_721_347_200_000
NOW_NS = FIRST_MS * 10**6 + 10**18
BTC, ETH = ("BTCUSDT", "aggTrade"), ("ETHUSDT", "aggTrade")


async def no_wait(_seconds: float) -> None: ...


def rest(answer: Callable[[httpx.Request], httpx.Response]) -> RestClient:
    endpoint = resolve("https://exchange.example", "usdm")
    return RestClient(endpoint, "usdm", sleep=no_wait, rand=lambda: 0.0, transport=httpx.MockTransport(answer))


def row(number: int) -> dict[str, object]:
    """Return a trade as REST shows it; there is one an hour."""
    return {"a": number, "p": "1", "q": "2", "f": number, "l": number, "T": FIRST_MS + number * HOUR_MS, "m": False}


def shop(ids: set[int]) -> Callable[[httpx.Request], httpx.Response]:
    """Return a venue that has exactly these trades."""

    def answer(request: httpx.Request) -> httpx.Response:
        query = parse_qs(request.url.query.decode())
        wanted = [number for number in sorted(ids) if number >= int(query["fromId"][0])][: int(query["limit"][0])]
        return httpx.Response(200, content=msgspec.json.encode([row(number) for number in wanted]))

    return answer


def gap(first: int, last: int) -> IdGap:
    return IdGap(first, last, 0, 0, reported=True)


class Bench:
    """A scheduler with gaps, a fetcher that carries out what it wants, and a clock."""

    def __init__(
        self, answer: Callable[[httpx.Request], httpx.Response], *gaps: tuple[int, int], key: StreamKey = BTC
    ) -> None:
        self.now = 1000.0
        self.stored: list[StoreRepair] = []
        self.records: list[LedgerRecord] = []
        self.actions: list[Action] = []
        self.states = {each: StreamState(*each, 10_000, StreamStats()) for each in dict.fromkeys((key, BTC, ETH))}
        self.state = self.states[key]
        self.state.add_gaps(gap(*ends) for ends in gaps)
        self.scheduler = RepairScheduler(self.states, self.actions.append)
        self.snapshots = SnapshotScheduler(self.states, self.actions.append, every_s=900.0, per_minute=10)
        self.answer = answer

    def perform(self) -> None:
        for action in self.actions:
            if isinstance(action, StoreRepair):
                self.stored.append(action)
            elif isinstance(action, LedgerRecord):
                self.records.append(action)
        self.actions.clear()

    async def run(self, wait_s: float = 0.0) -> int:
        """Ask for everything that is due after `wait_s`; return how many requests that took."""
        self.now += wait_s
        async with rest(self.answer) as client:
            fetcher = Fetcher(
                self.scheduler, self.snapshots, client, lambda: 10_000, self.perform, lambda: self.now, lambda: NOW_NS
            )
            for count in itertools.count():
                if not await fetcher.step():
                    return count
        raise AssertionError

    def told(self, event: str) -> list[tuple[object, object]]:
        return [(one.facts["expected"], one.facts["received"]) for one in self.records if one.event == event]


async def test_many_pages_are_fetched_newest_first_and_filed_by_hour() -> None:
    bench = Bench(shop(set(range(5000))), (100, 2600))
    assert await bench.run() == 3
    hours = [(repair.hour_ms - FIRST_MS) // HOUR_MS for repair in bench.stored]
    assert sorted(hours) == list(range(100, 2601))
    assert hours[0] == 1601
    assert bench.told("repaired") == [(1601, 2601), (601, 1601), (100, 601)]
    assert bench.state.id_gaps.missing == 0
    assert bench.stored[0].line.startswith(b'{"recv_ns":%d,"conn":"rest","stream":"btcusdt@aggTrade","data":{' % NOW_NS)
    assert bench.state.stats.repaired == 2501


async def test_neighbouring_gaps_share_a_request() -> None:
    bench = Bench(shop(set(range(5000))), *((number, number) for number in range(100, 700, 2)))
    assert await bench.run() == 1
    assert bench.state.stats.repaired == 300
    assert [repair.hour_ms for repair in bench.stored] == [FIRST_MS + n * HOUR_MS for n in range(100, 700, 2)]


async def test_ids_that_the_exchange_leaves_out_below_a_later_one_are_given_up() -> None:
    bench = Bench(shop({1, 2, 5, 6}), (1, 8))
    await bench.run()
    assert bench.told("repaired") == [(1, 3), (5, 7)]
    assert bench.told("unrepairable") == [(3, 5)]
    assert bench.state.id_gaps.missing_in(0, 99) == [(7, 8)]  # nothing later was in that answer
    bench.answer = shop({1, 2, 5, 6, 9})
    await bench.run(60.0)
    assert bench.told("unrepairable") == [(3, 5), (7, 9)]


async def test_an_empty_answer_is_no_proof_however_often_it_comes() -> None:
    """The REST side may lag behind the stream, for longer than anybody would wait."""
    bench = Bench(shop(set()), (1, 3))
    for _ in range(50):
        await bench.run(60.0)
    assert bench.records == []
    bench.answer = shop({1, 2, 3})
    await bench.run(60.0)
    assert bench.told("repaired") == [(1, 4)]


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 503])
async def test_whatever_is_refused_is_put_off_and_never_given_up(status: int) -> None:
    bench = Bench(lambda _: httpx.Response(status, headers={"location": "https://exchange.example/x"}), (1, 3))
    for _ in range(5):
        await bench.run(LONGEST_REFUSED_S)
    assert bench.records == []
    bench.answer = shop({1, 2, 3})
    await bench.run(LONGEST_REFUSED_S)
    assert bench.told("repaired") == [(1, 4)]


async def test_an_oversized_answer_is_put_off() -> None:
    bench = Bench(lambda _: httpx.Response(200, content=b" " * (17 * 2**20)), (1, 3))
    await bench.run()
    assert bench.records == []
    assert bench.state.id_gaps.missing == 3


@pytest.mark.parametrize("field", [{"T": FIRST_MS * 1000}, {"T": -1}, {"p": "nan"}, {"q": "x"}, {"T": "soon"}])
async def test_a_damaged_row_is_neither_stored_nor_taken_for_absent(field: dict[str, object]) -> None:
    """A time in microseconds or a negative one is no hour that a file could stand for."""
    rows = [row(1), row(2) | field, row(3)]
    bench = Bench(lambda _: httpx.Response(200, content=msgspec.json.encode(rows)), (1, 3))
    await bench.run()
    assert {(repair.hour_ms - FIRST_MS) // HOUR_MS for repair in bench.stored} <= {1, 3}
    assert bench.told("unrepairable") == []
    assert (2, 2) in [(max(2, low), min(2, high)) for low, high in bench.state.id_gaps.missing_in(0, 9)]
    bench.answer = shop({1, 2, 3})
    await bench.run(600.0)
    assert bench.state.id_gaps.missing == 0


async def test_symbols_take_turns_and_a_huge_gap_starves_nobody() -> None:
    bench = Bench(shop(set(range(100))), (1, 10_000_000))
    bench.states[ETH].add_gaps([gap(5, 9), gap(5000, 5003)])
    asked = []
    for _ in range(4):
        request = bench.scheduler.next_request(bench.now)
        assert request is not None
        asked.append(request)
        bench.scheduler.answered(request, answer_all(request), NOW_NS, bench.now)
    assert [(request.key[0], request.first, request.last) for request in asked] == [
        ("BTCUSDT", 9_999_001, 10_000_000),
        ("ETHUSDT", 5000, 5003),
        ("BTCUSDT", 9_998_001, 9_999_000),
        ("ETHUSDT", 5, 9),
    ]


def answer_all(request: TradesRequest) -> list[tuple[RestTrade, bytes]]:
    return answer(range(request.first, request.last + 1))


def answer(numbers: Iterable[int]) -> list[tuple[RestTrade, bytes]]:
    return [(RestTrade(number, FIRST_MS, "1", "2", buyer_is_maker=False), b'{"a":%d}' % number) for number in numbers]


async def test_an_absurd_wish_to_stay_away_has_a_bound() -> None:
    bench = Bench(lambda _: httpx.Response(429, headers={"Retry-After": "99999999"}), (1, 3))
    await bench.run()
    bench.answer = shop({1, 2, 3})
    await bench.run(3600.0)
    assert bench.told("repaired") == [(1, 4)]


async def test_what_the_stream_brings_meanwhile_is_not_stored_twice() -> None:
    bench = Bench(shop(set(range(10))), (1, 5))
    bench.state.id_gaps.remove(3, 3)
    await bench.run()
    assert [(repair.hour_ms - FIRST_MS) // HOUR_MS for repair in bench.stored] == [1, 2, 4, 5]
    assert bench.told("repaired") == [(1, 3), (4, 6)]


async def test_single_trades_cannot_be_fetched_by_id_without_a_key() -> None:
    bench = Bench(shop(set()), (1, 3), key=("BTCUSDT", "trade"))
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


@settings(max_examples=25, deadline=None, phases=[Phase.generate])
@given(st.integers(0, 10**6))
def test_nothing_that_the_exchange_has_is_given_up_whatever_its_rest_side_does(seed: int) -> None:
    repairs.check(seed)
