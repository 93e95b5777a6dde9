"""Which hosts are spoken to, how, and which streams share a connection."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from ofi_cvd.binance.endpoints import (
    STREAMS_PER_CONNECTION,
    is_loopback,
    plan_connections,
    resolve,
    stream_url,
)
from ofi_cvd.errors import InputError, UsageError


@pytest.mark.parametrize("market", ["usdm", "spot"])
def test_the_venue_is_spoken_to_over_tls_only(market: str) -> None:
    endpoint = resolve("binance", market)
    assert endpoint.ws.startswith("wss://")
    assert endpoint.rest.startswith("https://")
    assert not endpoint.loopback


def test_loopback_may_be_plain() -> None:
    for host in ("127.0.0.1:9443", "localhost:9443", "[::1]:9443", "127.9.9.9"):
        endpoint = resolve(f"http://{host}", "usdm")
        assert (endpoint.ws, endpoint.rest, endpoint.loopback) == (f"ws://{host}", f"http://{host}", True)


@pytest.mark.parametrize(
    "url",
    [
        "http://exchange.example",
        "http://10.0.0.1:80",
        "http://127.0.0.1.example:80",
        "http://localhost.example",
        "ftp://localhost",
    ],
)
def test_another_host_may_not_be_plain(url: str) -> None:
    with pytest.raises(InputError, match="expected https"):
        resolve(url, "usdm")


def test_another_host_with_tls_is_fine() -> None:
    assert resolve("https://exchange.example", "usdm").ws == "wss://exchange.example"


def test_loopback_is_known_without_asking_for_names() -> None:
    assert is_loopback("localhost")
    assert is_loopback("::1")
    assert not is_loopback("")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("example.com")


def test_futures_streams_go_to_their_routes() -> None:
    plans = plan_connections(
        resolve("binance", "usdm"), "usdm", ["BTCUSDT", "ETHUSDT"], ["aggTrade", "depth10@100ms", "bookTicker", "trade"]
    )
    assert [plan.route for plan in plans] == ["market", "public"]
    assert plans[0].url == "wss://fstream.binance.com/market/stream?streams=btcusdt@aggTrade/ethusdt@aggTrade"
    assert urlsplit(plans[1].url).path == "/public/stream"
    assert len(plans[1].streams) == 6


def test_spot_has_no_routes() -> None:
    (plan,) = plan_connections(resolve("binance", "spot"), "spot", ["BTCUSDT"], ["aggTrade", "depth10@100ms"])
    assert plan.route is None
    assert plan.url.endswith(".vision/stream?streams=btcusdt@aggTrade/btcusdt@depth10@100ms")


def test_a_mixed_connection_is_refused_before_it_is_made() -> None:
    """The venue would acknowledge, and then stay silent without an error."""
    with pytest.raises(UsageError, match="streams of one route"):
        stream_url(resolve("binance", "usdm"), "usdm", [("BTCUSDT", "aggTrade"), ("BTCUSDT", "depth10@100ms")])


def test_many_streams_are_shared_out() -> None:
    symbols = [f"A{number:03d}USDT" for number in range(450)]
    plans = plan_connections(resolve("binance", "usdm"), "usdm", symbols, ["aggTrade"])
    assert [len(plan.streams) for plan in plans] == [STREAMS_PER_CONNECTION, STREAMS_PER_CONNECTION, 50]
    assert {pair[0] for plan in plans for pair in plan.streams} == set(symbols)
