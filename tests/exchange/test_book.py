"""Snapshot plus differences is the book, by the rules a client follows."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofi_cvd.exchange.book import Books, changes, snapshot

side = st.dictionaries(st.integers(1, 12), st.integers(1, 5), min_size=1, max_size=6)


def pushed(update: int, at_ms: int, bids: dict[int, int], asks: dict[int, int]) -> bytes:
    ids = {"e": "depthUpdate", "E": at_ms, "T": at_ms - 3, "s": "BTCUSDT", "U": update - 2, "u": update, "pu": 0}
    levels = {"b": levels_of(bids, best=-1), "a": levels_of(asks, best=1)}
    return json.dumps(ids | levels).encode()


def levels_of(side_: dict[int, int], best: int) -> list[tuple[str, str]]:
    return [(f"{price}.0", f"{side_[price]}.5") for price in sorted(side_, key=lambda price: best * price)]


def applied(book: dict[str, str], levels: Any) -> dict[str, str]:
    new = book | dict(levels)
    return {price: size for price, size in new.items() if Decimal(size)}


@given(side, side)
def test_differences_lead_from_one_state_to_the_next(before: dict[int, int], after: dict[int, int]) -> None:
    old, new = levels_of(before, 1), levels_of(after, 1)
    assert applied(dict(old), changes(old, new)) == dict(new)
    assert changes(new, new) == []


@pytest.mark.parametrize("venue", ["usdm", "spot"])
@given(st.lists(st.tuples(side, side), min_size=2, max_size=12), st.data())
def test_a_client_that_follows_the_rules_always_has_the_book(
    venue: Any, states: list[tuple[dict[int, int], dict[int, int]]], data: st.DataObject
) -> None:
    """Subscribe, snapshot at any moment after, drop what is older, then every event chains and gives the next state."""
    books, events, at = Books(venue), [], data.draw(st.integers(0, len(states) - 1))
    joined = data.draw(st.integers(0, at + 1))  # the first state pushed to the subscriber
    taken: dict[str, Any] = {}
    for n, (bids, asks) in enumerate(states):
        payload = pushed(100 + 10 * n, 1000 + 100 * n, bids, asks)
        assert books.see("BTCUSDT", "depth20@100ms", payload)
        wanted = ["depth@100ms"] if n >= joined else []
        events += [json.loads(event) for _, event in books.derive("BTCUSDT", "depth20@100ms", wanted)]
        if n == at:
            taken = snapshot(books.state("BTCUSDT"), 1000, venue, 0)
    last_id, bid_side, ask_side = taken["lastUpdateId"], dict(taken["bids"]), dict(taken["asks"])
    for event in (event for event in events if event["u"] > taken["lastUpdateId"]):
        if venue == "usdm":
            assert event["pu"] == last_id
        assert event["U"] == last_id + 1
        last_id = event["u"]
        bid_side, ask_side = applied(bid_side, event["b"]), applied(ask_side, event["a"])
    final = snapshot(books.state("BTCUSDT"), 1000, venue, 0)
    assert (last_id, bid_side, ask_side) == (final["lastUpdateId"], dict(final["bids"]), dict(final["asks"]))


def test_slower_streams_have_their_own_chain_and_shallower_ones_are_cut() -> None:
    books, seen = Books("usdm"), {"depth@100ms": [], "depth": [], "depth@500ms": [], "depth5@500ms": []}
    for n in range(31):
        book = dict.fromkeys(range(1, 11), n + 1)
        books.see("BTCUSDT", "depth10@100ms", pushed(100 + n, 1000 + 100 * n, book, book))
        for kind, payload in books.derive("BTCUSDT", "depth10@100ms", seen):
            seen[kind].append(json.loads(payload))
    assert {kind: len(events) for kind, events in seen.items()} == {
        "depth@100ms": 30,
        "depth": 12,
        "depth@500ms": 6,
        "depth5@500ms": 6,
    }
    for events in seen.values():
        assert all(later["pu"] == earlier["u"] for earlier, later in itertools.pairwise(events))
    assert all(len(event["b"]) == 5 for event in seen["depth5@500ms"])


@pytest.mark.parametrize(
    ("venue", "kind"), [("usdm", "depth@1000ms"), ("spot", "depth@500ms"), ("usdm", "depth50@100ms")]
)
def test_a_stream_the_venue_does_not_have_stays_silent(venue: Any, kind: str) -> None:
    books = Books(venue)
    for n in range(30):
        books.see("BTCUSDT", "depth10@100ms", pushed(100 + n, 1000 + 100 * n, {1: n + 1}, {2: 1}))
        assert books.derive("BTCUSDT", "depth10@100ms", [kind]) == []


def test_the_deepest_stream_is_the_book() -> None:
    books = Books("usdm")
    assert books.state("BTCUSDT") is None
    assert books.see("BTCUSDT", "depth5@100ms", pushed(1, 1, {1: 1}, {2: 1}))
    assert books.see("BTCUSDT", "depth20@100ms", pushed(2, 2, {1: 1}, {2: 1}))
    assert not books.see("BTCUSDT", "depth5@100ms", pushed(3, 3, {1: 1}, {2: 1}))
    assert not books.see("BTCUSDT", "depth@100ms", pushed(4, 4, {1: 1}, {2: 1}))
    state = books.state("BTCUSDT")
    assert state is not None
    assert state.update_id == 2
