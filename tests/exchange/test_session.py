"""The live-subscribe page of the exchange, line by line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ofi_cvd.exchange.routes import MAX_STREAMS, route_for
from ofi_cvd.exchange.session import Answer, Session


def session(target: str = "/market/ws", venue: Any = "usdm") -> Session:
    route = route_for(target, venue)
    assert route is not None
    return Session(route, venue)


def said(answer: Answer) -> Any:
    assert answer.text is not None
    return json.loads(answer.text)


def ask(client: Session, **request: Any) -> Any:
    answer = client.receive(json.dumps(request).encode())
    assert answer.close is None
    return said(answer)


def test_an_acknowledgement_validates_nothing_and_has_no_stream() -> None:
    client = session()
    bogus = ["btcusdt@aggTrade", "btcusdt@thisDoesNotExist", "btcusdt@bookTicker"]
    assert ask(client, method="SUBSCRIBE", params=bogus, id=1) == {"result": None, "id": 1}
    assert ask(client, method="LIST_SUBSCRIPTIONS", id=2) == {"result": bogus, "id": 2}
    assert client.audible == ["btcusdt@aggTrade", "btcusdt@thisDoesNotExist"]  # the quote belongs to /public


def test_unsubscribing_ends_a_stream_and_forgives_unknown_ones() -> None:
    client = session("/market/ws/btcusdt@aggTrade/ethusdt@aggTrade")
    assert ask(client, method="UNSUBSCRIBE", params=["btcusdt@aggTrade", "never"], id=312) == {
        "result": None,
        "id": 312,
    }
    assert list(client.streams) == ["ethusdt@aggTrade"]


def test_the_combined_property_starts_with_the_route_and_can_be_changed() -> None:
    client = session()
    assert ask(client, method="GET_PROPERTY", params=["combined"], id=1) == {"result": False, "id": 1}
    assert ask(client, method="SET_PROPERTY", params=["combined", True], id=2) == {"result": None, "id": 2}
    assert client.combined
    assert session("/market/stream").combined


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"method": "GET_PROPERTY", "params": ["colour"], "id": 1}, 0),
        ({"method": "SET_PROPERTY", "params": ["combined", "yes"], "id": 1}, 1),
        ({"method": "SET_PROPERTY", "params": ["combined"], "id": 1}, 1),
        ({"method": "SET_PROPERTY", "params": [7, True], "id": 1}, 2),
        ({"method": "SET_PROPERTY", "params": ["combined", True, 1], "id": 1}, 2),
        ({"method": "SUBSCRIBE", "params": ["a"], "id": -1}, 2),
        ({"method": "SUBSCRIBE", "params": ["a"], "id": True}, 2),
        ({"method": "SUBSCRIBE", "params": [1], "id": 1}, 2),
        ({"method": "SUBSCRIBE", "params": "a", "id": 1}, 2),
        ({"method": "SHOUT", "params": [], "id": 1}, 2),
        ({"params": [], "id": 1}, 2),
        ([], 2),
    ],
)
def test_errors_have_the_documented_codes_and_change_nothing(request_: Any, code: int) -> None:
    client = session()
    answer = client.receive(json.dumps(request_).encode())
    assert said(answer)["code"] == code
    assert answer.close is None
    assert not client.streams
    assert not client.combined


def test_invalid_json_is_told_and_ends_the_connection() -> None:
    answer = session().receive(b"{method")
    assert said(answer)["error"]["code"] == 3
    assert answer.close is not None


def test_streams_are_limited_by_subscription_and_by_url() -> None:
    client = session()
    ask(client, method="SUBSCRIBE", params=[f"s{n}@aggTrade" for n in range(MAX_STREAMS)], id=1)
    assert ask(client, method="SUBSCRIBE", params=["one@more"], id=2)["code"] == 2
    assert ask(client, method="SUBSCRIBE", params=["s7@aggTrade"], id=3)["result"] is None  # already there
    assert len(client.streams) == MAX_STREAMS
    assert session("/market/ws/" + "/".join(f"s{n}@aggTrade" for n in range(MAX_STREAMS + 1))).has_too_many_streams


@pytest.mark.parametrize(("venue", "limit"), [("usdm", 10), ("spot", 5)])
def test_more_messages_than_the_venue_takes_in_a_second_end_the_connection(venue: Any, limit: int) -> None:
    client = session("/ws", venue)
    answers = [client.count(n * 0.5 / limit) for n in range(limit)]
    assert all(answer.close is None for answer in answers)
    assert client.count(0.9).close is not None
    patient = session("/ws", venue)
    assert all(patient.count(n * 1.01 / limit).close is None for n in range(5 * limit))
