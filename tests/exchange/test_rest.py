"""The REST side without a socket: parameters, errors, weights."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.exchange.faults import FaultPlan
from ofi_cvd.exchange.framefaults import FrameFaults
from ofi_cvd.exchange.history import TradeHistory
from ofi_cvd.exchange.hub import Hub
from ofi_cvd.exchange.rest import Reply, Rest
from ofi_cvd.exchange.venue_limits import limits_of
from tests.exchange.stub import StubMarket

START = 1_760_000_000_000


def served(venue: Any = "usdm", seconds: int = 3) -> Rest:
    hub = Hub({"BTCUSDT": TradeHistory(), "ETHUSDT": TradeHistory()}, FrameFaults(FaultPlan([])), venue)
    market = StubMarket("BTCUSDT", START)
    for _ in range(seconds):
        for _, stream, payload in market.block():
            hub.publish("btcusdt@" + stream, payload)
    return Rest(hub, limits_of(venue))


def get(rest: Rest, target: str, now_ms: int = START) -> Reply:
    return rest.answer("GET", target, address="127.0.0.1", now_ms=now_ms)


def ids(reply: Reply) -> list[int]:
    assert reply.status == 200
    return [trade["a"] for trade in json.loads(reply.body)]


def test_time_is_the_exchange_time() -> None:
    assert json.loads(get(served(), "/fapi/v1/time", 123).body) == {"serverTime": 123}
    assert json.loads(get(served(), "/fapi/v1/ping").body) == {}


def test_trades_by_id_by_time_and_the_latest() -> None:
    rest = served()  # 150 trades, one every 20 ms, from id 1000
    base = "/fapi/v1/aggTrades?symbol=BTCUSDT"
    assert ids(get(rest, f"{base}&fromId=1010&limit=3")) == [1010, 1011, 1012]
    assert ids(get(rest, f"{base}&fromId=1149")) == [1149]
    assert ids(get(rest, f"{base}&fromId=1150")) == []
    assert ids(get(rest, f"{base}&limit=2")) == [1148, 1149]
    assert ids(get(rest, f"{base}&startTime={START + 18}&endTime={START + 58}")) == [1001, 1002, 1003]
    assert len(ids(get(rest, f"{base}&startTime={START - 5}"))) == 150
    assert ids(get(rest, f"{base}&fromId=0&limit=1")) == [1000]
    assert ids(get(rest, "/fapi/v1/aggTrades?symbol=ETHUSDT")) == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("aggTrades", -1102),
        ("aggTrades?symbol=", -1102),
        ("aggTrades?symbol=NOSUCH", -1121),
        ("aggTrades?symbol=btcusdt", -1121),
        ("aggTrades?symbol=BTCUSDT&fromId=-1", -1100),
        ("aggTrades?symbol=BTCUSDT&fromId=abc", -1100),
        ("aggTrades?symbol=BTCUSDT&limit=0", -1130),
        ("aggTrades?symbol=BTCUSDT&fromId=1&startTime=1", -1128),
        (f"aggTrades?symbol=BTCUSDT&startTime=0&endTime={HOUR_MS}", -1127),
        ("depth?symbol=BTCUSDT&limit=7", -1130),
        ("depth", -1102),
    ],
)
def test_a_bad_request_has_the_code_of_the_real_exchange(query: str, code: int) -> None:
    reply = get(served(), f"/fapi/v1/{query}")
    assert reply.status == 400
    assert json.loads(reply.body)["code"] == code
    assert set(json.loads(reply.body)) == {"code", "msg"}


@pytest.mark.parametrize("target", ["/", "/fapi/v1/nope", "/api/v3/time", "/fapi/v2/time"])
def test_unknown_paths_are_not_found(target: str) -> None:
    assert get(served(), target).status == 404
    assert served().answer("POST", "/fapi/v1/time", address="a", now_ms=0).status == 404


@pytest.mark.parametrize(
    ("venue", "target", "weight"),
    [
        ("usdm", "/fapi/v1/depth?symbol=BTCUSDT&limit=5", 2),
        ("usdm", "/fapi/v1/depth?symbol=BTCUSDT&limit=100", 5),
        ("usdm", "/fapi/v1/depth?symbol=BTCUSDT", 10),
        ("usdm", "/fapi/v1/depth?symbol=BTCUSDT&limit=1000", 20),
        ("usdm", "/fapi/v1/aggTrades?symbol=BTCUSDT", 20),
        ("spot", "/api/v3/depth?symbol=BTCUSDT", 5),
        ("spot", "/api/v3/depth?symbol=BTCUSDT&limit=1000", 50),
        ("spot", "/api/v3/depth?symbol=BTCUSDT&limit=5000", 250),
        ("spot", "/api/v3/aggTrades?symbol=BTCUSDT", 4),
    ],
)
def test_requests_have_their_weight(venue: Any, target: str, weight: int) -> None:
    reply = get(served(venue), target)
    assert (reply.status, reply.headers["X-MBX-USED-WEIGHT-1M"]) == (200, str(weight))


def test_too_much_weight_is_429_then_418_with_retry_after() -> None:
    rest = served()
    target = "/fapi/v1/aggTrades?symbol=BTCUSDT&limit=1"
    replies = [get(rest, target, START) for _ in range(2400 // 20 + 12)]
    statuses = [reply.status for reply in replies]
    assert statuses[:120] == [200] * 120
    assert set(statuses[120:]) == {429, 418}
    assert all(int(reply.headers["Retry-After"]) > 0 for reply in replies[120:])
    assert json.loads(replies[-1].body)["code"] == -1003


def test_a_depth_snapshot_is_the_last_state() -> None:
    book = json.loads(get(served(), "/fapi/v1/depth?symbol=BTCUSDT&limit=5").body)
    assert set(book) == {"lastUpdateId", "E", "T", "bids", "asks"}
    assert len(book["bids"]) == len(book["asks"]) == 5
    assert book["lastUpdateId"] == 5000 + 10 * 29
    empty = json.loads(get(served(), "/fapi/v1/depth?symbol=ETHUSDT").body)
    assert (empty["lastUpdateId"], empty["bids"]) == (0, [])


def test_spot_speaks_spot() -> None:
    rest = served("spot")
    book = json.loads(get(rest, "/api/v3/depth?symbol=BTCUSDT").body)
    assert set(book) == {"lastUpdateId", "bids", "asks"}
    (trade,) = json.loads(get(rest, "/api/v3/aggTrades?symbol=BTCUSDT&limit=1").body)
    assert set(trade) == {"a", "p", "q", "f", "l", "T", "m", "M"}


@pytest.mark.parametrize(("venue", "root"), [("usdm", "/fapi/v1"), ("spot", "/api/v3")])
def test_exchange_info_describes_every_symbol(venue: Any, root: str) -> None:
    info = json.loads(get(served(venue), f"{root}/exchangeInfo").body)
    assert [entry["symbol"] for entry in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]
    for entry in info["symbols"]:
        assert entry["status"] == "TRADING"
        assert entry["baseAsset"] + entry["quoteAsset"] == entry["symbol"]
        assert {"PRICE_FILTER", "LOT_SIZE"} <= {rule["filterType"] for rule in entry["filters"]}
        assert entry.get("contractType") == ("PERPETUAL" if venue == "usdm" else None)
