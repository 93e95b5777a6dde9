"""The price in one frame of trades, for whoever shows it; nothing is computed from it."""

from __future__ import annotations

import math

import msgspec


class _Trade(msgspec.Struct, gc=False):
    p: str


class _Frame(msgspec.Struct, gc=False):
    data: _Trade


_read = msgspec.json.Decoder(_Frame).decode


def trade_price(frame: bytes) -> str | None:
    """Return the price of a frame of aggTrade or trade as the venue wrote it, without trailing zeros; None if it has none."""
    try:
        text = _read(frame).data.p
        known = math.isfinite(float(text))
    except (msgspec.MsgspecError, ValueError):
        return None
    if not known:
        return None
    return text.rstrip("0").rstrip(".") if "." in text else text
