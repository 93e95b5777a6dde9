"""The order book in the exchange's hands: a whole book, and a change of it, as messages carry them."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

Levels: TypeAlias = list[tuple[str, str]]


class BookState(msgspec.Struct, frozen=True):
    """A whole book, or its best levels, in the futures layout; best prices first."""

    symbol: str = msgspec.field(name="s")
    event_ms: int = msgspec.field(name="E")
    time_ms: int = msgspec.field(name="T")
    update_id: int = msgspec.field(name="u")
    bids: Levels = msgspec.field(name="b")
    asks: Levels = msgspec.field(name="a")


class BookChange(msgspec.Struct, frozen=True, kw_only=True):
    """One diff; `previous_id` and the trade time are missing on spot."""

    symbol: str = msgspec.field(name="s")
    event_ms: int = msgspec.field(name="E")
    time_ms: int = msgspec.field(name="T", default=0)
    first_id: int = msgspec.field(name="U")
    update_id: int = msgspec.field(name="u")
    previous_id: int | None = msgspec.field(name="pu", default=None)
    bids: Levels = msgspec.field(name="b")
    asks: Levels = msgspec.field(name="a")


class _Snapshot(msgspec.Struct, frozen=True):
    update_id: int = msgspec.field(name="lastUpdateId")
    bids: Levels
    asks: Levels
    event_ms: int = msgspec.field(name="E", default=0)
    time_ms: int = msgspec.field(name="T", default=0)


_SNAPSHOT = msgspec.json.Decoder(_Snapshot)
decode_state = msgspec.json.Decoder(BookState).decode
decode_change = msgspec.json.Decoder(BookChange).decode


def decode_snapshot(symbol: str, payload: bytes) -> BookState:
    """Return the book of a REST snapshot.

    Raises:
        msgspec.DecodeError: it is none.
    """
    found = _SNAPSHOT.decode(payload)
    return BookState(symbol, found.event_ms, found.time_ms, found.update_id, found.bids, found.asks)
