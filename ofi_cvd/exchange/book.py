"""Order books as the exchange shows them: REST snapshots and diff streams, both from the same pushed states.

The source pushes whole top-of-book states (`depth20@100ms` and shallower).
The exchange's book *is* the deepest of these: a level outside it does not
exist.  A diff is the difference of two states, so snapshot plus diffs is
always the next state, and both count in the state's update ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from ofi_cvd.exchange.routes import Venue

Levels: TypeAlias = list[tuple[str, str]]


class BookState(msgspec.Struct, frozen=True):
    """One pushed state, in the futures layout."""

    symbol: str = msgspec.field(name="s")
    event_ms: int = msgspec.field(name="E")
    time_ms: int = msgspec.field(name="T")
    update_id: int = msgspec.field(name="u")
    bids: Levels = msgspec.field(name="b")
    asks: Levels = msgspec.field(name="a")


_decode = msgspec.json.Decoder(BookState).decode


def read_state(payload: bytes) -> BookState:
    """Return the state of a `depthUpdate` payload."""
    return _decode(payload)


def deepest(payloads: Mapping[str, bytes]) -> bytes | None:
    """Return the payload of the deepest stream among `depth5@100ms`, `depth10@100ms`, ...; None where there is none."""
    return payloads[max(payloads, key=depth_of)] if payloads else None


def depth_of(kind: str) -> int:
    """Return the number of levels of a partial depth stream; 0 for a diff stream."""
    digits = kind.partition("@")[0].removeprefix("depth")
    return int(digits) if digits.isdecimal() else 0


def snapshot(state: BookState | None, limit: int, venue: Venue, now_ms: int) -> dict[str, object]:
    """Return the REST book; an empty one before the first state."""
    bids, asks = (state.bids[:limit], state.asks[:limit]) if state else ([], [])
    head: dict[str, object] = {"lastUpdateId": state.update_id if state else 0}
    if venue == "usdm":
        head |= {"E": state.event_ms if state else now_ms, "T": state.time_ms if state else now_ms}
    return {**head, "bids": bids, "asks": asks}


@dataclass(slots=True)
class DiffChain:
    """A diff stream of one symbol: differences between the states it was shown.

    `pu` chains within the stream; streams of another period have their own chain.
    """

    period_ms: int
    last: BookState | None = None

    def advance(self, state: BookState, venue: Venue) -> bytes | None:
        """Return the event that leads from the last state to `state`; None where it is not due or is the first."""
        last = self.last
        if last is None:
            self.last = state
            return None
        # States are a few milliseconds off their grid: half a period early is due.
        if state.update_id <= last.update_id or state.event_ms - last.event_ms < self.period_ms - 50:
            return None
        self.last = state
        event: dict[str, object] = {"e": "depthUpdate", "E": state.event_ms, "s": state.symbol}
        ids: dict[str, object] = {"U": last.update_id + 1, "u": state.update_id}
        if venue == "usdm":
            event |= {"T": state.time_ms, "ps": state.symbol, "st": 1}
            ids["pu"] = last.update_id
        sides = {"b": changes(last.bids, state.bids), "a": changes(last.asks, state.asks)}
        return msgspec.json.encode(event | ids | sides)


def changes(before: Levels, after: Levels) -> Levels:
    """Return the levels to set to get from `before` to `after`; a size of 0 removes a level."""
    old, new = dict(before), dict(after)
    gone = [(price, "0") for price in old if price not in new]
    return [(price, size) for price, size in after if old.get(price) != size] + gone
