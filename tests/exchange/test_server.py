"""The exchange over real sockets: routes, keep-alive, life, REST on the same port."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ofi_cvd.exchange.server import Exchange
from ofi_cvd.exchange.venue_limits import limits_of
from tests.exchange.stub import stub_source


def is_data(message: Any) -> bool:
    return "stream" in message or "e" in message


async def test_trades_and_books_need_two_routes(listen: Any, next_json: Any) -> None:
    """On the wrong route a subscription is acknowledged and nothing follows; data on the right one proves time passed."""
    both = {"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade", "btcusdt@depth10@100ms"], "id": 1}
    async with (
        Exchange(stub_source()) as exchange,
        listen(exchange, "/stream") as unrouted,
        listen(exchange, "/market/stream") as market,
        listen(exchange, "/public/stream") as public,
    ):
        heard = []
        for socket in (market, public, unrouted):
            await socket.send(json.dumps(both))
            assert await next_json(socket) == {"result": None, "id": 1}
            heard.append({(await next_json(socket))["stream"] for _ in range(5)})
    assert heard == [{"btcusdt@aggTrade"}, {"btcusdt@depth10@100ms"}, {"btcusdt@depth10@100ms"}]


async def test_raw_and_combined_frames(listen: Any, next_json: Any) -> None:
    async with Exchange(stub_source()) as exchange:
        async with listen(exchange, "/market/ws/btcusdt@aggTrade") as raw:
            assert (await next_json(raw))["e"] == "aggTrade"
            await raw.send('{"method":"SET_PROPERTY","params":["combined",true],"id":3}')
            assert await next_json(raw, lambda message: "id" in message) == {"result": None, "id": 3}
            assert (await next_json(raw))["stream"] == "btcusdt@aggTrade"
        async with listen(exchange, "/market/stream?streams=btcusdt@aggTrade") as combined:
            message = await next_json(combined)
            assert list(message) == ["stream", "data"]


async def test_ids_on_the_wire_are_contiguous_and_agree_with_rest(listen: Any, next_json: Any) -> None:
    async with Exchange(stub_source(rate=200)) as exchange, httpx.AsyncClient(base_url=exchange.url) as client:
        async with listen(exchange, "/market/ws/btcusdt@aggTrade") as socket:
            wire = [await next_json(socket) for _ in range(100)]
        first = wire[0]["a"]
        query = {"symbol": "BTCUSDT", "fromId": first, "limit": 100}
        fetched = (await client.get("/fapi/v1/aggTrades", params=query)).json()
    assert [trade["a"] for trade in wire] == list(range(first, first + 100))
    assert fetched == [{key: value for key, value in t.items() if key not in {"e", "E", "s", "st"}} for t in wire]
    assert exchange.emitted["BTCUSDT"].last >= first + 99


async def test_messages_are_sent_when_they_are_due(listen: Any, next_json: Any) -> None:
    async with Exchange(stub_source()) as exchange, listen(exchange, "/market/ws/btcusdt@aggTrade") as socket:
        for _ in range(10):
            message = await next_json(socket)
            assert message["E"] <= exchange.now_ms()


async def test_unsubscribing_ends_the_stream(listen: Any, next_json: Any) -> None:
    async with (
        Exchange(stub_source("BTCUSDT", "ETHUSDT")) as exchange,
        listen(exchange, "/market/stream?streams=btcusdt@aggTrade/ethusdt@aggTrade") as socket,
    ):
        await next_json(socket, lambda message: message["stream"] == "btcusdt@aggTrade")
        await socket.send('{"method":"UNSUBSCRIBE","params":["btcusdt@aggTrade"],"id":1}')
        await next_json(socket, lambda message: "id" in message)
        assert {(await next_json(socket))["stream"] for _ in range(10)} == {"ethusdt@aggTrade"}


async def test_invalid_json_is_answered_and_ends_the_connection(listen: Any, next_json: Any) -> None:
    async with Exchange(stub_source()) as exchange, listen(exchange, "/public/ws") as socket:
        await socket.send("{")
        assert (await next_json(socket))["error"]["code"] == 3
        with pytest.raises(ConnectionClosed):
            await socket.recv()


async def test_a_client_that_talks_too_much_is_cut_off(listen: Any) -> None:
    async with Exchange(stub_source()) as exchange, listen(exchange, "/public/ws") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await chatter(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


async def test_pings_of_the_client_are_answered_and_counted(listen: Any) -> None:
    async with Exchange(stub_source()) as exchange, listen(exchange, "/public/ws") as socket:
        pong = await socket.ping(b"hello")
        async with asyncio.timeout(10):
            await pong
        with pytest.raises(ConnectionClosed):
            await ping_without_end(socket)


async def test_a_client_that_answers_pings_stays_and_one_that_does_not_is_dropped(listen: Any) -> None:
    limits = replace(limits_of("usdm"), ping_every_s=0.2, pong_within_s=0.5)
    async with Exchange(stub_source(), limits=limits) as exchange:
        reader, writer = await asyncio.open_connection("127.0.0.1", exchange.port)
        writer.write(handshake("/public/ws"))
        async with listen(exchange, "/public/ws/btcusdt@depth5@100ms") as good, asyncio.timeout(10):
            mute = await reader.read()  # to the end: the exchange drops the one that never answers
            for _ in range(3):
                await good.recv()
        writer.close()
        assert mute.split(b"\r\n\r\n", 1)[1][0] == 0x89  # the first frame was a ping
        assert exchange.counters["pings_unanswered"] == 1


async def test_a_connection_lives_as_long_as_the_terms_say(listen: Any) -> None:
    limits = replace(limits_of("usdm"), life_s=0.3)
    async with (
        Exchange(stub_source(), limits=limits) as exchange,
        listen(exchange, "/market/ws/btcusdt@aggTrade") as socket,
    ):
        received = [message async for message in socket]  # ends with close 1001
    assert received
    assert exchange.counters["lives_ended"] == 1


async def test_a_slow_consumer_is_cut_off() -> None:
    """A client that never reads fills the socket's buffers and then the exchange's; then it is dropped."""
    limits = replace(limits_of("usdm"), queue_bytes=200_000)
    async with Exchange(stub_source(), limits=limits) as exchange:
        _, writer = await asyncio.open_connection("127.0.0.1", exchange.port, limit=1024)
        writer.write(handshake("/public/stream?streams=btcusdt@bookTicker"))
        async with asyncio.timeout(20):
            await exchange.until(lambda: bool(exchange.sockets))
            while exchange.sockets:
                exchange.hub.deliver("btcusdt@bookTicker", b"x" * 1_000_000)
                exchange.settle()
                await asyncio.sleep(0)
        writer.close()
    assert exchange.counters["slow_consumers"] == 1


@pytest.mark.parametrize("target", ["/nope", "/market", "/market/ws?x"])
async def test_a_wrong_path_is_refused(target: str) -> None:
    async with Exchange(stub_source()) as exchange:
        with pytest.raises(InvalidStatus) as refused:
            await connect(exchange.ws_url + target)
    assert refused.value.response.status_code == 404


async def test_rest_and_status_share_the_port_and_keep_connections_alive() -> None:
    async with Exchange(stub_source()) as exchange, httpx.AsyncClient(base_url=exchange.url) as client:
        statuses = [(await client.get("/fapi/v1/time")).status_code for _ in range(5)]
        status = (await client.get("/status")).json()
        assert len(exchange.connections) == 1
    assert statuses == [200] * 5
    assert status["counters"]["rest"] == 5
    assert set(status["trades"]) == {"BTCUSDT"}


async def test_what_is_no_http_is_dropped() -> None:
    async with Exchange(stub_source()) as exchange, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", exchange.port)
        writer.write(b"\x16\x03\x01 what a TLS client would say\r\n\r\n")
        assert await reader.read() == b""
        writer.close()


async def test_a_fragmented_request_is_understood(listen: Any, next_json: Any) -> None:
    async with Exchange(stub_source()) as exchange, listen(exchange, "/market/ws") as socket:
        await socket.send(['{"method":"SUBSCRIBE",', '"params":["btcusdt@aggTrade"],', '"id":9}'])
        assert await next_json(socket) == {"result": None, "id": 9}
        assert (await next_json(socket))["e"] == "aggTrade"


async def test_diff_depth_leads_from_the_snapshot_to_the_book(listen: Any, next_json: Any) -> None:
    """The documented algorithm of a local book, against the partial book of the same moment."""
    target = "/public/stream?streams=btcusdt@depth@100ms/btcusdt@depth20@100ms"
    async with (
        Exchange(stub_source()) as exchange,
        httpx.AsyncClient(base_url=exchange.url) as client,
        listen(exchange, target) as socket,
    ):
        await next_json(socket, lambda message: message["stream"] == "btcusdt@depth@100ms")
        snapshot = (await client.get("/fapi/v1/depth", params={"symbol": "BTCUSDT", "limit": 1000})).json()
        last, bids, asks, compared = snapshot["lastUpdateId"], dict(snapshot["bids"]), dict(snapshot["asks"]), 0
        partial: dict[int, Any] = {}
        while compared < 5:
            message = await next_json(socket)
            data = message["data"]
            if message["stream"] == "btcusdt@depth20@100ms":
                partial[data["u"]] = data
            elif data["u"] > last:
                assert data["pu"] == last
                last = data["u"]
                for side, levels in ((bids, data["b"]), (asks, data["a"])):
                    side.update(levels)
                    for price, size in levels:
                        if size == "0":
                            del side[price]
                assert bids == dict(partial[last]["b"])
                assert asks == dict(partial[last]["a"])
                compared += 1


async def test_spot_serves_everything_behind_one_door(listen: Any, next_json: Any) -> None:
    target = "/stream?streams=btcusdt@aggTrade/btcusdt@depth10@100ms/btcusdt@bookTicker"
    async with Exchange(stub_source(), limits=limits_of("spot")) as exchange, listen(exchange, target) as socket:
        seen: dict[str, Any] = {}
        while len(seen) < 3:
            message = await next_json(socket)
            seen[message["stream"].partition("@")[2]] = message["data"]
    assert set(seen["depth10@100ms"]) == {"lastUpdateId", "bids", "asks"}
    assert set(seen["bookTicker"]) == {"u", "s", "b", "B", "a", "A"}
    assert "nq" not in seen["aggTrade"]


async def test_a_source_that_fails_is_not_silent() -> None:
    class Broken(type(stub_source())):  # type: ignore[misc]  # the class of the stub
        async def play(self, sink: Any) -> None:
            raise RuntimeError("no market today")

    with pytest.raises(RuntimeError, match="no market"):
        async with Exchange(Broken(["BTCUSDT"], lambda *_: None)) as exchange:
            await exchange.finished()


async def chatter(socket: Any) -> None:
    for number in range(30):
        await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
    while True:
        await socket.recv()


async def ping_without_end(socket: Any) -> None:
    while True:
        await (await socket.ping())


def handshake(target: str) -> bytes:
    lines = [f"GET {target} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "", ""]
    return "\r\n".join(lines).encode()
