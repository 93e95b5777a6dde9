"""A foreign client, unchanged but for its URLs, reads trades and books from the built-in exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ofi_cvd.exchange.book import snapshot
from ofi_cvd.exchange.server import Exchange
from ofi_cvd.exchange.source import MarketSource
from ofi_cvd.exchange.venue_limits import limits_of
from ofi_cvd.simulator import Market

ccxt_pro = pytest.importorskip("ccxt.pro", reason="the foreign client is an optional test dependency")

SYMBOLS = ("BTCUSDT", "ETHUSDT")


def market_source() -> MarketSource:
    return MarketSource(SYMBOLS, lambda symbol, start_ms: Market(symbol, 11, start_ms, 5.0))


@asynccontextmanager
async def usdm_client(exchange: Exchange) -> AsyncIterator[Any]:
    client = ccxt_pro.binanceusdm({"enableRateLimit": False, "options": {"fetchCurrencies": False}})
    client.urls["api"]["fapiPublic"] = f"{exchange.url}/fapi/v1"
    client.urls["api"]["ws"]["linear"] = f"{exchange.ws_url}/ws"  # the client adds /public and /market itself
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def spot_client(exchange: Exchange) -> AsyncIterator[Any]:
    options = {"fetchCurrencies": False, "defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}
    client = ccxt_pro.binance({"enableRateLimit": False, "options": options})
    client.urls["api"]["public"] = f"{exchange.url}/api/v3"
    client.urls["api"]["ws"]["spot"] = f"{exchange.ws_url}/ws"
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize("venue", ["usdm", "spot"])
async def test_trades_are_the_exchange_s_own(venue: Any) -> None:
    opened, symbol = (usdm_client, "BTC/USDT:USDT") if venue == "usdm" else (spot_client, "BTC/USDT")
    async with Exchange(market_source(), limits=limits_of(venue)) as exchange, opened(exchange) as client:
        trades: dict[int, Any] = {}
        async with asyncio.timeout(30):
            while len(trades) < 30:
                for trade in await client.watch_trades(symbol, params={"name": "aggTrade"}):
                    trades[int(trade["id"])] = trade
        truth = {int(str(row["a"])): row for row in exchange.emitted["BTCUSDT"].from_id(min(trades), 1000)}
    assert sorted(trades) == list(range(min(trades), max(trades) + 1))
    for ident, trade in trades.items():
        assert trade["price"] == float(str(truth[ident]["p"]))
        assert trade["amount"] == float(str(truth[ident]["q"]))
        assert trade["side"] == ("sell" if truth[ident]["m"] else "buy")
        assert trade["timestamp"] == truth[ident]["T"]


@pytest.mark.parametrize("venue", ["usdm", "spot"])
async def test_its_local_book_follows_ours(venue: Any) -> None:
    """The client buffers, fetches a snapshot and applies differences by its own reading of the rules."""
    opened, symbol = (usdm_client, "ETH/USDT:USDT") if venue == "usdm" else (spot_client, "ETH/USDT")
    async with Exchange(market_source(), limits=limits_of(venue)) as exchange, opened(exchange) as client:
        exchange.hub.books.lag_ms = (
            0  # this client does not ask again where its first snapshot is older than its stream
        )
        compared = 0
        async with asyncio.timeout(30):
            while compared < 10:
                book = await client.watch_order_book(symbol)
                ours = snapshot(exchange.hub.books.newest("ETHUSDT"), 20, venue, 0)
                if book["nonce"] != ours["lastUpdateId"]:
                    continue  # the next state is already on its way
                for side in ("bids", "asks"):
                    levels = ours[side]
                    assert isinstance(levels, list)
                    assert [row[:2] for row in book[side][:20]] == [
                        [float(price), float(size)] for price, size in levels
                    ]
                compared += 1


async def test_it_fetches_trades_and_books_over_rest() -> None:
    async with Exchange(market_source()) as exchange, usdm_client(exchange) as client, asyncio.timeout(30):
        await exchange.until(lambda: exchange.emitted["BTCUSDT"].count > 5)
        first = exchange.emitted["BTCUSDT"].first
        assert first is not None
        trades = await client.fetch_trades(
            "BTC/USDT:USDT", params={"fetchTradesMethod": "fapiPublicGetAggTrades", "fromId": first}
        )
        assert [int(trade["id"]) for trade in trades[:5]] == list(range(first, first + 5))
        book = await client.fetch_order_book("BTC/USDT:USDT", 20)
        assert len(book["bids"]) == len(book["asks"]) == 20
        assert book["bids"][0][0] < book["asks"][0][0]
        market = client.market("BTC/USDT:USDT")
        assert (market["precision"]["price"], market["precision"]["amount"], market["active"]) == (0.1, 0.001, True)
