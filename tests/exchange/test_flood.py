from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import httpx
import pytest

from ofi_cvd.errors import InputError
from ofi_cvd.exchange.flood import FIRST_ID, FloodHistory, FloodSource
from ofi_cvd.exchange.server import Exchange

BOTH = "btcusdt@aggTrade", "btcusdt@bookTicker"


async def read(socket: Any, count: int) -> list[Any]:
    async with asyncio.timeout(30):
        return [json.loads(await socket.recv()) for _ in range(count)]


async def test_frames_are_messages_with_contiguous_ids_and_the_time_of_now(listen: Any) -> None:
    async with (
        Exchange(FloodSource(["BTCUSDT"], 3000)) as exchange,
        listen(exchange, f"/market/stream?streams={BOTH[0]}") as trades,
        listen(exchange, f"/public/ws/{BOTH[1]}") as quotes,
    ):
        agg = [message["data"] for message in await read(trades, 300)]
        book = await read(quotes, 300)
        now = exchange.now_ms()
    assert [trade["a"] for trade in agg] == list(range(agg[0]["a"], agg[0]["a"] + 300))
    assert [quote["u"] for quote in book] == list(range(book[0]["u"], book[0]["u"] + 300))
    assert all(later["f"] == earlier["l"] + 1 for earlier, later in itertools.pairwise(agg))
    assert {type(trade["m"]) for trade in agg} == {bool}
    assert all(0 <= now - message["E"] < 30_000 for message in agg + book)
    assert float(book[0]["b"]) < float(book[0]["a"])


async def test_rest_has_what_was_on_the_wire(listen: Any) -> None:
    async with (
        Exchange(FloodSource(["BTCUSDT"], 5000)) as exchange,
        listen(exchange, f"/market/ws/{BOTH[0]}") as socket,
        httpx.AsyncClient(base_url=exchange.url) as client,
    ):
        wire = await read(socket, 200)
        query = {"symbol": "BTCUSDT", "fromId": wire[0]["a"], "limit": 200}
        rest = (await client.get("/fapi/v1/aggTrades", params=query)).json()
    assert rest == [{key: value for key, value in t.items() if key not in {"e", "E", "s", "st"}} for t in wire]


async def test_flat_out_waits_for_its_slowest_client_and_loses_nothing(listen: Any) -> None:
    target = f"/public/stream?streams={BOTH[1]}"
    async with Exchange(FloodSource(["BTCUSDT"], None)) as exchange:
        assert exchange.hub.frames[BOTH[1]] < 5000  # nobody listens: it waits
        async with listen(exchange, target) as fast, listen(exchange, target) as slow:
            ids = [message["data"]["u"] for message in await read(fast, 5000)]
            late = [message["data"]["u"] for message in await read(slow, 5000)]
    assert ids == list(range(ids[0], ids[0] + 5000))
    assert late == list(range(late[0], late[0] + 5000))
    assert not exchange.counters["slow_consumers"]


def test_the_history_finds_by_id_and_time() -> None:
    history = FloodHistory()
    assert history.latest(5) == history.from_id(0, 5) == history.between(0, 9, 5) == []
    for chunk in range(10):
        history.add_chunk(FIRST_ID + 7 * chunk, 7, 1000 + 100 * chunk)
    assert (history.first, history.last, history.count) == (FIRST_ID, FIRST_ID + 69, 70)
    assert [trade["a"] for trade in history.from_id(FIRST_ID + 68, 10)] == [FIRST_ID + 68, FIRST_ID + 69]
    assert [trade["a"] for trade in history.from_id(0, 2)] == [FIRST_ID, FIRST_ID + 1]
    assert [trade["a"] for trade in history.between(1100, 1200, 100)] == list(range(FIRST_ID + 7, FIRST_ID + 21))
    assert [trade["a"] for trade in history.between(1900, 5000, 3)] == [FIRST_ID + 63, FIRST_ID + 64, FIRST_ID + 65]
    assert history.between(1901, 5000, 3) == []
    assert len(history.latest(100)) == 70


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_flood_needs_a_rate(rate: float) -> None:
    with pytest.raises(InputError, match="more than 0 frames"):
        FloodSource(["BTCUSDT"], rate)
