from __future__ import annotations

import pytest

from ofi_cvd.exchange.routes import category_of, route_for


@pytest.mark.parametrize(
    ("stream", "category"),
    [
        ("btcusdt@aggTrade", "market"),
        ("btcusdt@markPrice@1s", "market"),
        ("!forceOrder@arr", "market"),
        ("btcusdt@kline_1m", "market"),
        ("btcusdt@bookTicker", "public"),
        ("!bookTicker", "public"),
        ("btcusdt@depth", "public"),
        ("btcusdt@depth@0ms", "public"),
        ("btcusdt@depth10@100ms", "public"),
        ("btcusdt@rpiDepth@500ms", "public"),
        ("btcusdt@trade", "public"),  # undocumented, and not on /market
    ],
)
def test_each_stream_has_the_root_of_the_real_exchange(stream: str, category: str) -> None:
    assert category_of(stream) == category


@pytest.mark.parametrize(
    ("target", "category", "combined", "streams"),
    [
        ("/market/stream?streams=btcusdt@aggTrade/ethusdt@aggTrade", "market", True, 2),
        ("/market/ws/btcusdt@aggTrade", "market", False, 1),
        ("/public/ws", "public", False, 0),
        ("/public/stream", "public", True, 0),
        ("/ws/a@depth5/b@depth5", "public", False, 2),
        ("/stream?streams=btcusdt%40depth5", "public", True, 1),
        ("/private/ws/listenkey", "private", False, 1),
    ],
)
def test_futures_routes(target: str, category: str, combined: bool, streams: int) -> None:
    route = route_for(target, "usdm")
    assert route is not None
    assert (route.category, route.combined, len(route.streams)) == (category, combined, streams)
    assert all("@" in stream for stream in route.streams if category != "private")


@pytest.mark.parametrize(
    "target", ["/", "/market", "/fapi/v1/time", "/market/ws?x", "/stream/btcusdt@aggTrade", "/a/ws"]
)
def test_what_is_no_route_is_refused(target: str) -> None:
    assert route_for(target, "usdm") is None


def test_a_futures_route_serves_its_own_category_only() -> None:
    market, unrouted = route_for("/market/ws", "usdm"), route_for("/ws", "usdm")
    assert market is not None
    assert unrouted is not None
    assert [market.serves(f"btcusdt@{kind}") for kind in ("aggTrade", "bookTicker")] == [True, False]
    assert [unrouted.serves(f"btcusdt@{kind}") for kind in ("aggTrade", "bookTicker")] == [False, True]


def test_spot_has_one_route_for_everything() -> None:
    route = route_for("/stream?streams=btcusdt@aggTrade", "spot")
    assert route is not None
    assert route.serves("btcusdt@aggTrade")
    assert route.serves("btcusdt@bookTicker")
    assert route_for("/market/ws", "spot") is None
