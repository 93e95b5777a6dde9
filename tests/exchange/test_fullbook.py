"""The full book behind the exchange: diffs of every period and REST snapshots of any age are one book."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Literal

import httpx
import pytest

from ofi_cvd.exchange.book import Books, snapshot
from ofi_cvd.exchange.faults import FaultPlan
from ofi_cvd.exchange.framefaults import FrameFaults
from ofi_cvd.exchange.history import TradeHistory
from ofi_cvd.exchange.hub import Hub
from ofi_cvd.exchange.routes import route_for
from ofi_cvd.exchange.server import Exchange
from ofi_cvd.exchange.session import Session
from ofi_cvd.simulator import Market
from tests.exchange.stub import stub_source

START_MS = 1_760_000_000_000
SYMBOL = "ADAUSDT"  # few messages, a book of 1,200 levels a side
Venue = Literal["usdm", "spot"]


class Listening:
    """A connection that keeps what it is sent."""

    def __init__(self, venue: Venue, kinds: list[str]) -> None:
        route = route_for("/public/stream?streams=" + "/".join(f"{SYMBOL.lower()}@{kind}" for kind in kinds), "usdm")
        assert route is not None
        self.session = Session(route, venue)
        self.events: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}

    def push(self, frame: bytes) -> None:
        message = json.loads(frame[frame.index(b'{"stream"') :])
        self.events[message["stream"].partition("@")[2]].append(message["data"])


def played(venue: Venue, kinds: list[str], blocks: int = 4) -> tuple[Hub, Listening, list[tuple[int, dict[str, Any]]]]:
    """Play a simulated market into a hub; return it, what was heard, and a snapshot after each message of the book."""
    hub = Hub({SYMBOL: TradeHistory()}, FrameFaults(FaultPlan([])), venue)
    client = Listening(venue, kinds)
    hub.join(client)
    market = Market(SYMBOL, 3, START_MS, streams=("depth20@100ms", "depth@100ms"))
    taken = []
    for _ in range(blocks):
        for event in market.block():
            hub.publish(f"{SYMBOL.lower()}@{event.stream}", event.payload)
            if event.stream == "depth@100ms":
                taken.append((event.time_ms, hub.snapshot(SYMBOL, 1000, 0)))
    return hub, client, taken


def followed(book: dict[str, Any], events: list[dict[str, Any]], venue: Venue) -> dict[int, tuple[Any, Any]]:
    """Follow the documented rules from a snapshot; return the book after every update id."""
    bids, asks = ({Decimal(p): Decimal(q) for p, q in book[side]} for side in ("bids", "asks"))
    last, states = book["lastUpdateId"], {}
    for event in (event for event in events if event["u"] > last):
        if venue == "usdm":
            assert event["pu"] <= last if not states else event["pu"] == last
        else:
            assert event["U"] <= last + 1 if not states else event["U"] == last + 1
        last = event["u"]
        for side, levels in ((bids, event["b"]), (asks, event["a"])):
            for price, size in levels:
                side[Decimal(price)] = Decimal(size)
                if not Decimal(size):
                    del side[Decimal(price)]
        states[last] = (sorted(bids.items(), reverse=True)[:20], sorted(asks.items())[:20])
    return states


@pytest.mark.parametrize(("venue", "slow"), [("usdm", "depth@500ms"), ("usdm", "depth"), ("spot", "depth")])
def test_a_client_that_follows_the_rules_has_the_partial_book(venue: Venue, slow: str) -> None:
    """From any snapshot, on the fast and on a slow diff stream, the best levels are those of the partial book."""
    hub, client, taken = played(venue, ["depth@100ms", slow])
    assert hub.frames[f"{SYMBOL.lower()}@depth@100ms"] == len(client.events["depth@100ms"])
    fast, slowly = client.events["depth@100ms"], client.events[slow]
    assert len(fast) / 12 < len(slowly) < len(fast) / 2
    truth: dict[int, Any] = {}
    market = Market(SYMBOL, 3, START_MS, streams=("depth20@100ms",))
    for _ in range(4):
        for event in market.block():
            top = json.loads(event.payload)
            truth[top["u"]] = tuple([(Decimal(p), Decimal(q)) for p, q in top[side]] for side in ("b", "a"))
    for _, book in taken[5::20]:
        assert len(book["bids"]) == len(book["asks"]) == 1000
        for events in (fast, slowly):
            states = followed(book, events, venue)
            assert states
            assert all(states[update] == truth[update] for update in states)


def test_a_rest_book_lags_behind_the_streams() -> None:
    """It is a moment old, as the real one is; more where a fault says so."""
    hub, client, _ = played("usdm", ["depth@100ms"])
    events = client.events["depth@100ms"]
    lag = events[-1]["E"] - hub.snapshot(SYMBOL, 5, 0)["E"]  # type: ignore[operator]
    assert 250 <= lag < 500
    hub.books.stale_ms = 3_000
    stale = events[-1]["E"] - hub.snapshot(SYMBOL, 5, 0)["E"]  # type: ignore[operator]
    assert 3_250 <= stale < 3_500


def test_a_source_that_skips_an_update_has_no_book_until_the_next_whole_one() -> None:
    """The exchange shows no book that it cannot vouch for."""
    books = Books("usdm")
    whole = {"lastUpdateId": 10, "E": 5, "T": 5, "bids": [["1.0", "2"]], "asks": [["3.0", "4"]]}
    books.see("BTCUSDT", "depthSnapshot", json.dumps(whole).encode())

    def diff(previous: int, update: int, at_ms: int) -> bytes:
        ids = {"e": "depthUpdate", "E": at_ms, "T": at_ms, "s": "BTCUSDT", "U": previous + 1, "u": update}
        return json.dumps(ids | {"pu": previous, "b": [["1.0", "7"]], "a": []}).encode()

    assert books.see("BTCUSDT", "depth@100ms", diff(10, 12, 1_000))
    assert not books.see("BTCUSDT", "depth@100ms", diff(10, 12, 1_000))
    books.see("BTCUSDT", "depth@100ms", diff(12, 13, 2_000))
    assert snapshot(books.state("BTCUSDT"), 5, "usdm", 0)["bids"] == [("1.0", "7")]
    books.see("BTCUSDT", "depth@100ms", diff(15, 16, 3_000))
    assert books.state("BTCUSDT") is None
    books.see("BTCUSDT", "depthSnapshot", json.dumps(whole | {"lastUpdateId": 16}).encode())
    assert snapshot(books.state("BTCUSDT"), 5, "usdm", 0)["lastUpdateId"] == 16


async def test_faults_of_books_leave_other_requests_alone() -> None:
    async with Exchange(stub_source()) as exchange, httpx.AsyncClient(base_url=exchange.url, timeout=5) as client:
        exchange.inject("depth-500", "502", count=2)
        codes = [
            (await client.get(f"/fapi/v1/{what}")).status_code for what in ("time", "depth?symbol=BTCUSDT", "time")
        ]
        assert codes == [200, 502, 200]
        exchange.clear("depth-500")
        assert (await client.get("/fapi/v1/depth?symbol=BTCUSDT")).status_code == 200
