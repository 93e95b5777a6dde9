"""Payloads of the futures market as the spot market writes them (docs/protocol.md#spot-payloads).

The simulated market and a recorded one may be futures; a spot client sees
other keys, eight decimals, and no times on quotes and partial books.
"""

from __future__ import annotations

import msgspec

Json = dict[str, object]

_decode = msgspec.json.Decoder(Json).decode
_FUTURES_ONLY = {"nq", "st", "ps", "X"}


def spot_payload(kind: str, payload: bytes) -> bytes | None:
    """Return the spot payload of stream `kind`; None for what spot does not have (placeholder trades)."""
    message = _decode(payload)
    if message.get("X", "MARKET") != "MARKET":
        return None
    if kind in {"aggTrade", "trade"}:
        message = {key: value for key, value in message.items() if key not in _FUTURES_ONLY} | {"M": True}
        return msgspec.json.encode(_eight(message, ("p", "q")))
    if kind == "bookTicker":
        return msgspec.json.encode(_eight({key: message[key] for key in ("u", "s", "b", "B", "a", "A")}, tuple("bBaA")))
    if kind.startswith("depth") and "lastUpdateId" not in message and kind[5:6].isdigit():
        levels = {"bids": spot_levels(message["b"]), "asks": spot_levels(message["a"])}
        return msgspec.json.encode({"lastUpdateId": message["u"], **levels})
    if kind.startswith("depth") and "pu" in message:  # on spot every diff begins right behind the one before
        sides = {"b": spot_levels(message["b"]), "a": spot_levels(message["a"])}
        first = {"U": msgspec.convert(message["pu"], int) + 1, "u": message["u"]}
        return msgspec.json.encode({"e": "depthUpdate", "E": message["E"], "s": message["s"], **first, **sides})
    return None if kind.startswith(("forceOrder", "markPrice")) else payload


def spot_rest_trade(trade: Json) -> Json:
    """Return the REST object of an aggregated trade as spot shows it."""
    return _eight({key: value for key, value in trade.items() if key not in _FUTURES_ONLY} | {"M": True}, ("p", "q"))


def spot_levels(levels: object) -> list[list[str]]:
    """Return price and size texts with eight decimals."""
    pairs = levels if isinstance(levels, list) else []
    return [[eight_decimals(price), eight_decimals(size)] for price, size in pairs]


def eight_decimals(text: str) -> str:
    """Return a decimal text with exactly eight decimals; longer ones stay as they are."""
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals:0<8}"


def _eight(message: Json, keys: tuple[str, ...]) -> Json:
    return message | {key: eight_decimals(str(message[key])) for key in keys if key in message}
