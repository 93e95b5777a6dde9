"""Spot frames have the keys of docs/protocol.md#spot-payloads and eight decimals."""

from __future__ import annotations

import json

import pytest

from ofi_cvd.exchange.spot import eight_decimals, spot_payload

DEPTH = {"e": "depthUpdate", "E": 2, "T": 1, "s": "BTCUSDT", "U": 1, "u": 9, "pu": 0, "b": [["1.5", "2"]], "a": []}
TRADE = {"e": "trade", "E": 2, "T": 1, "s": "BTCUSDT", "t": 5, "p": "1.50", "q": "2", "X": "MARKET", "m": True, "st": 1}
QUOTE = {"e": "bookTicker", "u": 4, "E": 2, "T": 1, "s": "BTCUSDT", "b": "1", "B": "2", "a": "3", "A": "4", "st": 1}
AGG = {"e": "aggTrade", "E": 2, "s": "BTCUSDT", "a": 7, "p": "1.5", "q": "2", "nq": "1", "f": 1, "l": 2, "T": 1}


@pytest.mark.parametrize(
    ("kind", "message", "keys"),
    [
        ("depth10@100ms", DEPTH, "lastUpdateId bids asks"),
        ("trade", TRADE, "e E s t p q T m M"),
        ("bookTicker", QUOTE, "u s b B a A"),
        ("aggTrade", AGG | {"m": False, "st": 1}, "e E s a p q f l T m M"),
    ],
)
def test_keys_are_those_of_the_spot_market(kind: str, message: dict[str, object], keys: str) -> None:
    payload = spot_payload(kind, json.dumps(message).encode())
    assert payload is not None
    assert set(json.loads(payload)) == set(keys.split())


def test_prices_and_sizes_have_eight_decimals() -> None:
    payload = spot_payload("depth10@100ms", json.dumps(DEPTH).encode())
    assert payload is not None
    assert json.loads(payload)["bids"] == [["1.50000000", "2.00000000"]]
    assert eight_decimals("0.123456789") == "0.123456789"


def test_spot_has_no_placeholder_trades() -> None:
    assert spot_payload("trade", json.dumps(TRADE | {"X": "NA", "p": "0", "q": "0"}).encode()) is None
