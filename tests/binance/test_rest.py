"""The REST client: weights, bans, retries, bounds; time and chance are arguments, the transport is in memory."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest

from ofi_cvd.binance.endpoints import resolve
from ofi_cvd.binance.rest import (
    MAX_BODY_BYTES,
    RestClient,
    RestRefusedError,
    RestUnavailableError,
    WeightBudget,
)
from ofi_cvd.errors import ExchangeError

TRADE = b'{"a":7,"p":"1.50","q":"2","f":1,"l":2,"T":99,"m":true,"new":[1, 2]}'


class Venue:
    """Answers from a list, and a clock that only sleeping moves."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.now = 1_000_000.0  # 40 s into a minute
        self.slept: list[float] = []
        self.client = RestClient(
            resolve("https://exchange.example", "usdm"),
            "usdm",
            clock=lambda: self.now,
            sleep=self.sleep,
            rand=lambda: 1.0,
            transport=httpx.MockTransport(self.answer),
        )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def ok(body: bytes = b'{"serverTime":123}', **headers: str) -> httpx.Response:
    return httpx.Response(200, content=body, headers={key.replace("_", "-"): value for key, value in headers.items()})


async def test_time_and_trades_are_read_verbatim() -> None:
    venue = Venue(ok(), ok(b" [" + TRADE + b"]"), ok(b'{"lastUpdateId":1}'))
    async with venue.client as rest:
        assert await rest.server_time_ms() == 123
        ((trade, raw),) = await rest.agg_trades("BTCUSDT", 7)
        assert await rest.depth("BTCUSDT") == b'{"lastUpdateId":1}'
    assert raw == TRADE
    assert (trade.trade_id, trade.trade_ms) == (7, 99)
    assert [str(request.url) for request in venue.asked] == [
        "https://exchange.example/fapi/v1/time",
        "https://exchange.example/fapi/v1/aggTrades?symbol=BTCUSDT&fromId=7&limit=1000",
        "https://exchange.example/fapi/v1/depth?symbol=BTCUSDT&limit=1000",
    ]


async def test_trouble_on_the_way_is_tried_again_with_growing_waits() -> None:
    venue = Venue(httpx.ConnectError("no"), httpx.Response(500), httpx.ReadTimeout("slow"), ok(b"[]"))
    async with venue.client as rest:
        assert await rest.agg_trades("BTCUSDT", 1) == []
    assert venue.slept == [0.5, 1.0, 2.0]


async def test_trouble_that_stays_is_reported_after_a_bounded_number_of_tries() -> None:
    venue = Venue(*[httpx.Response(503, text="busy")] * 9)
    async with venue.client as rest:
        with pytest.raises(RestUnavailableError, match="status 503: busy"):
            await rest.agg_trades("BTCUSDT", 1)
    assert len(venue.asked) == 5


async def test_a_refusal_is_final() -> None:
    venue = Venue(httpx.Response(400, json={"code": -1121, "msg": "Invalid symbol."}))
    async with venue.client as rest:
        with pytest.raises(RestRefusedError, match=r"expected status 200, found 400.*Invalid symbol"):
            await rest.agg_trades("NOPE", 1)
    assert len(venue.asked) == 1


async def test_retry_after_is_honoured_to_the_second() -> None:
    venue = Venue(httpx.Response(429, headers={"Retry-After": "17"}), ok(b"[]"))
    async with venue.client as rest:
        await rest.agg_trades("BTCUSDT", 1)
    assert venue.slept == [17.0]


async def test_a_429_without_a_time_waits_for_the_next_minute() -> None:
    venue = Venue(httpx.Response(429), ok(b"[]"))
    async with venue.client as rest:
        await rest.agg_trades("BTCUSDT", 1)
    assert venue.slept == [20.0]


async def test_a_ban_is_obeyed_by_every_request_until_it_ends() -> None:
    """Who goes on asking is banned for longer: nothing is sent, the caller learns when to come back."""
    venue = Venue(httpx.Response(418, headers={"Retry-After": "600"}), ok(b"[]"))
    async with venue.client as rest:
        with pytest.raises(RestUnavailableError) as ban:
            await rest.agg_trades("BTCUSDT", 1)
        assert ban.value.retry_s == 600
        with pytest.raises(RestUnavailableError):
            await rest.server_time_ms()
        assert len(venue.asked) == 1
        venue.now += 600
        await rest.agg_trades("BTCUSDT", 1)


async def test_the_venues_count_of_weights_is_respected() -> None:
    """At 80 % of the minute's weight the client waits for the next minute by itself."""
    venue = Venue(ok(b"[]", X_MBX_USED_WEIGHT_1M="1915"), ok(b"[]"))
    async with venue.client as rest:
        await rest.agg_trades("BTCUSDT", 1)
        await rest.agg_trades("BTCUSDT", 1)
    assert venue.slept == [20.0]


def test_the_budget_counts_our_own_requests_too() -> None:
    budget = WeightBudget(100)
    assert [budget.wait_s(20, 30.0) for _ in range(5)] == [0, 0, 0, 0, 30]
    assert budget.wait_s(20, 60.0) == 0
    budget.observe("nonsense")
    budget.observe("79")
    assert budget.wait_s(20, 60.0) == 60
    assert WeightBudget(10).wait_s(20, 0.0) == 0  # one request must always be possible


async def test_an_answer_without_end_is_cut_off() -> None:
    venue = Venue(ok(b"[" + b" " * MAX_BODY_BYTES))
    async with venue.client as rest:
        with pytest.raises(ExchangeError, match="expected at most"):
            await rest.agg_trades("BTCUSDT", 1)


async def test_an_answer_that_is_no_json_is_no_answer() -> None:
    venue = Venue(ok(b"<html>"), ok(b'[{"a":"x"}]'))
    async with venue.client as rest:
        with pytest.raises(RestUnavailableError, match="unreadable"):
            await rest.agg_trades("BTCUSDT", 1)
        with pytest.raises(RestUnavailableError, match="unreadable"):
            await rest.agg_trades("BTCUSDT", 1)


async def test_a_redirect_is_not_followed() -> None:
    venue = Venue(httpx.Response(302, headers={"Location": "http://elsewhere.example/"}))
    async with venue.client as rest:
        with pytest.raises(RestRefusedError, match="302"):
            await rest.agg_trades("BTCUSDT", 1)
    assert len(venue.asked) == 1


async def test_an_answer_that_drips_is_given_up_as_a_whole() -> None:
    """Each byte comes well within the time-out of a phase; only the bound on the whole request ends it."""
    open_links = asyncio.TaskGroup()
    accepted: list[asyncio.Task[None]] = []

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.005)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(open_links.create_task(drip(reader, writer)))

    async with asyncio.timeout(20.0), open_links, await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        endpoint = resolve(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "usdm")
        venue = Venue()
        async with RestClient(
            endpoint, "usdm", timeout_s=30.0, total_s=0.05, sleep=venue.sleep, rand=lambda: 1.0
        ) as client:
            with pytest.raises(RestUnavailableError, match="no whole answer within"):
                await client.agg_trades("BTCUSDT", 1)
    assert len(accepted) == len(venue.slept) + 1
    assert venue.slept, "it was tried again before it was given up, and every connection was closed"
