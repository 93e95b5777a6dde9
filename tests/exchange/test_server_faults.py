"""Every fault as a client meets it; the exchange stays up and its truth stays whole."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, PayloadTooBig

from ofi_cvd.exchange.faults import KINDS, parse_fault
from ofi_cvd.exchange.server import Exchange
from tests.exchange.stub import stub_source

TRADES, BOOKS = "/market/stream?streams=btcusdt@aggTrade", "/public/stream?streams=btcusdt@depth5@100ms"


async def ids(socket: Any, count: int) -> list[int]:
    async with asyncio.timeout(20):
        return [json.loads(await socket.recv())["data"]["a"] for _ in range(count)]


async def drained(socket: Any) -> None:
    async with asyncio.timeout(20):
        while True:
            await socket.recv()


async def test_reset_ends_the_connection_without_a_close_frame(listen: Any) -> None:
    async with (
        Exchange(stub_source()) as exchange,
        listen(exchange, TRADES) as trades,
        listen(exchange, BOOKS) as books,
    ):
        await trades.recv()
        assert exchange.inject("reset", "*@aggTrade") == 1
        with pytest.raises(ConnectionClosedError) as closed:
            await drained(trades)
        assert closed.value.rcvd is None
        assert isinstance(closed.value.__cause__, ConnectionResetError)
        await books.recv()
        assert len(exchange.sockets) == 1


async def test_close_is_clean(listen: Any) -> None:
    async with Exchange(stub_source()) as exchange, listen(exchange, TRADES) as socket:
        assert exchange.inject("close") == 1
        with pytest.raises(ConnectionClosedOK) as closed:
            await drained(socket)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001


async def test_stall_leaves_the_connection_half_open(listen: Any) -> None:
    async with Exchange(stub_source()) as exchange, listen(exchange, TRADES, close_timeout=0.1) as socket:
        await socket.recv()
        assert exchange.inject("stall") == 1
        pong = await socket.ping()
        last = exchange.emitted["BTCUSDT"].last
        async with asyncio.timeout(20):
            await exchange.until(lambda: exchange.emitted["BTCUSDT"].last >= last + 20)
        heard = await buffered(socket)
        assert all(ident <= last for ident in heard)
        assert not pong.done()
        assert len(exchange.sockets) == 1


async def buffered(socket: Any) -> list[int]:
    heard = []
    while True:
        try:
            async with asyncio.timeout(0.05):
                heard.append(json.loads(await socket.recv())["data"]["a"])
        except TimeoutError:
            return heard


async def test_silent_mutes_one_stream_of_open_connections_and_a_new_one_hears_it(listen: Any, next_json: Any) -> None:
    target = "/public/stream?streams=btcusdt@depth5@100ms/btcusdt@bookTicker"
    async with Exchange(stub_source()) as exchange, listen(exchange, target) as socket:
        await next_json(socket, lambda message: message["stream"] == "btcusdt@bookTicker")
        exchange.inject("silent", "btcusdt@bookTicker")
        await socket.send('{"method":"SUBSCRIBE","params":["btcusdt@bookTicker"],"id":5}')
        await next_json(socket, lambda message: "id" in message)  # acknowledged all the same
        assert {(await next_json(socket))["stream"] for _ in range(5)} == {"btcusdt@depth5@100ms"}
        async with listen(exchange, target) as fresh:
            await next_json(fresh, lambda message: message["stream"] == "btcusdt@bookTicker")
        exchange.clear("silent")
        await next_json(socket, lambda message: message["stream"] == "btcusdt@bookTicker")


async def test_standing_silence_concerns_every_connection(listen: Any, next_json: Any) -> None:
    fault = parse_fault("silent=*@bookTicker")
    target = "/public/stream?streams=btcusdt@depth5@100ms/btcusdt@bookTicker"
    async with Exchange(stub_source(), faults=[fault]) as exchange, listen(exchange, target) as socket:
        assert {(await next_json(socket))["stream"] for _ in range(5)} == {"btcusdt@depth5@100ms"}


async def test_wrong_route_accepts_acknowledges_and_says_nothing(listen: Any, next_json: Any) -> None:
    async with Exchange(stub_source()) as exchange:
        exchange.inject("wrong-route")
        async with listen(exchange, TRADES) as struck, listen(exchange, TRADES) as spared:
            await struck.send('{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":1}')
            assert await next_json(struck) == {"result": None, "id": 1}
            await ids(spared, 10)
            assert await buffered(struck) == []


async def test_gap_skips_ids_on_the_wire_and_rest_still_has_them(listen: Any) -> None:
    async with Exchange(stub_source(rate=100)) as exchange, httpx.AsyncClient(base_url=exchange.url) as client:
        async with listen(exchange, TRADES) as socket:
            before = await ids(socket, 5)
            exchange.inject("gap", count=7)
            after = await ids(socket, 20)
        heard = before + after
        missing = sorted(set(range(heard[0], heard[-1])) - set(heard))
        skipped = [json.loads(payload)["a"] for _, payload in exchange.skipped]
        query = {"symbol": "BTCUSDT", "fromId": missing[0], "limit": 7}
        fetched = (await client.get("/fapi/v1/aggTrades", params=query)).json()
    assert len(missing) == 7
    assert missing == skipped == [trade["a"] for trade in fetched]


async def test_dup_and_reorder_change_the_order_and_the_count_only(listen: Any) -> None:
    faults = [parse_fault("dup=*@aggTrade:p=0.2"), parse_fault("reorder=*@aggTrade:p=0.2")]
    async with Exchange(stub_source(rate=200), faults=faults, seed=4) as exchange, listen(exchange, TRADES) as socket:
        heard = await ids(socket, 120)
    assert len(set(heard)) < len(heard)
    assert heard != sorted(heard)
    settled = sorted(set(heard))[1:-3]  # the ends may wait for their partner
    assert settled == list(range(settled[0], settled[-1] + 1))


async def test_garbage_is_a_frame_that_is_no_message(listen: Any) -> None:
    async with Exchange(stub_source()) as exchange, listen(exchange, TRADES) as socket:
        exchange.inject("garbage", count=20)
        odd = 0
        async with asyncio.timeout(20):
            while odd < 20:
                odd += not is_trade(await socket.recv())
        await ids(socket, 5)


def is_trade(message: Any) -> bool:
    try:
        return isinstance(json.loads(message)["data"]["a"], int)
    except (ValueError, TypeError, KeyError):
        return False


async def test_oversize_breaks_a_client_that_bounds_its_frames(listen: Any) -> None:
    async with Exchange(stub_source()) as exchange, listen(exchange, TRADES, max_size=2**20) as socket:
        exchange.inject("oversize", "50")
        with pytest.raises(ConnectionClosed) as closed:
            await drained(socket)
        assert isinstance(closed.value.__cause__, PayloadTooBig)


async def test_shutdown_is_announced_before_the_close(listen: Any, next_json: Any) -> None:
    async with (
        Exchange(stub_source()) as exchange,
        listen(exchange, TRADES) as combined,
        listen(exchange, "/public/ws/btcusdt@depth5@100ms") as raw,
    ):
        exchange.inject("shutdown", "0.2")
        wrapped = await next_json(combined, lambda message: message["stream"] == "!serverShutdown")
        plain = await next_json(raw, lambda message: message["e"] == "serverShutdown")
        assert wrapped["data"]["e"] == plain["e"]
        await ids(combined, 2)  # data goes on until the end
        with pytest.raises(ConnectionClosedOK):
            await drained(combined)


async def test_slow_delivers_late_and_in_order(listen: Any) -> None:
    async with Exchange(stub_source(rate=200)) as exchange, listen(exchange, TRADES) as socket:
        await ids(socket, 1)
        exchange.inject("slow", "5000")
        heard = await ids(socket, 40)  # frames arrive in pieces and stay whole
        assert exchange.sockets[0].backlog > 0
        exchange.clear("slow")
        heard += await ids(socket, 40)
    assert heard == list(range(heard[0], heard[0] + 80))


async def test_slow_answers_pings_between_frames_never_inside_one(listen: Any) -> None:
    async with Exchange(stub_source(rate=200)) as exchange, listen(exchange, TRADES) as socket:
        exchange.inject("slow", "3000")
        heard = await ids(socket, 5)
        pongs = []
        for _ in range(5):
            heard += await ids(socket, 3)
            pongs.append(await socket.ping())
        exchange.clear("slow")
        heard += await ids(socket, 40)
        async with asyncio.timeout(20):
            await asyncio.gather(*pongs)
    assert heard == list(range(heard[0], heard[0] + 60))


async def test_rest_faults_strike_the_next_requests_only() -> None:
    async with Exchange(stub_source()) as exchange, httpx.AsyncClient(base_url=exchange.url, timeout=5) as client:
        exchange.inject("rest-429", "7", count=2)
        exchange.inject("rest-500", "503")
        replies = [await client.get("/fapi/v1/time") for _ in range(4)]
        assert [reply.status_code for reply in replies] == [429, 429, 503, 200]
        assert replies[0].headers["Retry-After"] == "7"
        assert replies[0].json()["code"] == -1003
        exchange.inject("rest-timeout", "0.2")
        with pytest.raises(httpx.TransportError):
            await client.get("/fapi/v1/time")
        assert (await client.get("/fapi/v1/time")).status_code == 200


async def test_clock_moves_every_time_the_exchange_tells(listen: Any, next_json: Any) -> None:
    offset = -90_000
    async with (
        Exchange(stub_source(), faults=[parse_fault(f"clock={offset}")]) as exchange,
        httpx.AsyncClient(base_url=exchange.url) as client,
        listen(exchange, TRADES) as socket,
    ):
        data = (await next_json(socket))["data"]
        server = (await client.get("/fapi/v1/time")).json()["serverTime"]
        rest = (await client.get("/fapi/v1/aggTrades", params={"symbol": "BTCUSDT", "fromId": data["a"]})).json()
        now = exchange.now_ms()
        for told in (data["E"], data["T"], server):
            assert -30_000 < told - (now + offset) < 30_000
        assert rest[0]["T"] == data["T"]
        exchange.clear("clock")
        later = (await client.get("/fapi/v1/time")).json()["serverTime"]
        assert later > server + 60_000


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.family == "socket"])
async def test_faults_of_sockets_strike_on_time(name: str, listen: Any) -> None:
    value = {"silent": "=*", "shutdown": "=0"}.get(name, "")
    async with (
        Exchange(stub_source(), faults=[parse_fault(f"{name}{value}:every=0.1")]) as exchange,
        listen(exchange, TRADES, close_timeout=0.1),
        asyncio.timeout(20),
    ):
        await exchange.until(lambda: exchange.fault_injector.fired[name] > 0)
    assert exchange.status()["faults"] == {name: exchange.fault_injector.fired[name]}


async def test_all_at_once_the_exchange_survives(listen: Any) -> None:
    """Every fault together at a high rate: clients suffer, the truth is whole, and a calm client is served at the end."""
    names = [
        "reset:p=0.5",
        "close:p=0.5",
        "dup",
        "reorder",
        "gap",
        "garbage:p=0.02",
        "shutdown=0:p=0.5",
        "rest-500:p=0.5",
    ]
    faults = [parse_fault(name) for name in names]
    async with Exchange(stub_source("BTCUSDT", "ETHUSDT", rate=200), faults=faults, seed=2) as exchange:
        lost = 0
        async with asyncio.timeout(60):
            while lost < 3:
                try:
                    async with listen(exchange, TRADES) as socket:
                        await drained(socket)
                except (ConnectionClosed, OSError, EOFError):
                    lost += 1
        history = exchange.emitted["BTCUSDT"]
        assert history.count == history.last - history.first + 1
        assert [trade["a"] for trade in history.from_id(history.first, history.count)] == list(
            range(history.first, history.last + 1)
        )
