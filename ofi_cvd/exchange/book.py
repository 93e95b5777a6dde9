"""Order books as the exchange shows them: REST snapshots, diff streams and slower partial books, all from pushed states.

A source that has the full book pushes every change of it (`depth@100ms` or `depth@0ms`) behind one whole book
(`depthSnapshot`, which is not sent to anyone). Of another source, which pushes whole top-of-book states
(`depth20@100ms` and shallower), the deepest of these *is* the book: a level outside it does not exist, and a diff is
the difference of two states. Either way snapshot plus diffs is always the next state, in the same update ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from ofi_cvd.exchange.bookstate import (
    BookChange,
    BookState,
    Levels,
    decode_change,
    decode_snapshot,
    decode_state,
)
from ofi_cvd.exchange.fullbook import DiffMerger, FullBook
from ofi_cvd.exchange.routes import Venue
from ofi_cvd.exchange.spot import spot_levels

_KIND = re.compile(r"depth(5|10|20)?(?:@(\d+)ms)?")
_PERIODS_MS = {
    "usdm": {None: 250, "0": 100, "100": 100, "250": 250, "500": 500},
    "spot": {None: 1000, "100": 100, "1000": 1000},
}
PUSH_MS = 100
"""Period of the source's states; a stream of this period shows every one of them."""

FULL_KINDS = ("depth@100ms", "depth@0ms")
SNAPSHOT_KIND = "depthSnapshot"
SNAPSHOT_AGE_MS = 250
"""How far the REST book lags behind the streams, as that of the real exchange does."""


def depth_of(kind: str) -> int:
    """Return the number of levels of a partial depth stream; 0 for anything else."""
    match = _KIND.fullmatch(kind)
    return int(match[1]) if match and match[1] else 0


def snapshot(state: BookState | None, limit: int, venue: Venue, now_ms: int) -> dict[str, object]:
    """Return the REST book; an empty one before the first state."""
    bids, asks = (state.bids[:limit], state.asks[:limit]) if state else ([], [])
    head = {"lastUpdateId": state.update_id if state else 0}
    if venue == "spot":
        return {**head, "bids": spot_levels(bids), "asks": spot_levels(asks)}
    times = {"E": state.event_ms if state else now_ms, "T": state.time_ms if state else now_ms}
    return {**head, **times, "bids": bids, "asks": asks}


@dataclass(slots=True)
class Chain:
    """One derived stream of one symbol; its `pu` chains within the stream, whatever other streams do.

    Attributes:
        levels: levels a side of a partial book; None for differences.
        period_ms: one event for every so many milliseconds of the exchange's clock.
        last: the state of the last event.
    """

    levels: int | None
    period_ms: int
    last: BookState | None = None

    def advance(self, state: BookState, venue: Venue) -> bytes | None:
        """Return the event that leads from the last state to `state`; None where it is not due or is the first."""
        last = self.last
        if last is None:
            self.last = state
            return None
        is_same_period = (
            self.period_ms > PUSH_MS and state.event_ms // self.period_ms == last.event_ms // self.period_ms
        )
        if state.update_id <= last.update_id or is_same_period:
            return None
        self.last = state
        if self.levels is None:
            sides = {"b": changes(last.bids, state.bids), "a": changes(last.asks, state.asks)}
        else:
            sides = {"b": state.bids[: self.levels], "a": state.asks[: self.levels]}
        return msgspec.json.encode(_event(state, last.update_id, sides, venue, is_diff=self.levels is None))


class Books:
    """The books of every symbol.

    Args:
        venue: decides layout and periods.

    Attributes:
        lag_ms: how far the book of REST lags behind the streams; only where the source has the full book.
        stale_ms: what a fault adds to it.
    """

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._deepest: dict[str, tuple[int, bytes]] = {}
        self._before: dict[str, bytes] = {}
        self._chains: dict[tuple[str, str], Chain] = {}
        self._full: dict[str, FullBook] = {}
        self._mergers: dict[tuple[str, str], DiffMerger] = {}
        self.lag_ms = SNAPSHOT_AGE_MS
        self.stale_ms = 0

    def see(self, symbol: str, kind: str, payload: bytes) -> bool:
        """Take what the source pushes; return whether it is the book (no deeper stream is known) or a change of it."""
        if kind == SNAPSHOT_KIND:
            self._full.setdefault(symbol, FullBook()).open(decode_snapshot(symbol, payload))
            return False
        if kind in FULL_KINDS:
            full = self._full.get(symbol)
            return full is not None and full.apply(decode_change(payload))
        depth = depth_of(kind)
        known, last = self._deepest.get(symbol, (0, b""))
        if not depth or depth < known:
            return False
        self._before[symbol] = last if depth == known else b""
        self._deepest[symbol] = (depth, payload)
        return True

    def state(self, symbol: str) -> BookState | None:
        """Return the book of `symbol` as REST shows it: a moment old, more by `stale_ms`; None before the first."""
        if symbol in self._full:
            return self._full[symbol].state(age_ms=self.lag_ms + self.stale_ms)
        return self._top(symbol)

    def newest(self, symbol: str) -> BookState | None:
        """Return the book of `symbol` as the streams have it; None before the first state."""
        return self._full[symbol].state() if symbol in self._full else self._top(symbol)

    def _top(self, symbol: str) -> BookState | None:
        _, payload = self._deepest.get(symbol, (0, b""))
        return decode_state(payload) if payload else None

    def derive(self, symbol: str, kind: str, wanted: Iterable[str]) -> list[tuple[str, bytes]]:
        """Return `(kind, payload)` of the events of the `wanted` streams that are due after an event of stream `kind`.

        A stream that is no longer wanted is forgotten and starts afresh; one
        that the exchange does not have stays silent.
        """
        kinds = [one for one in wanted if self._is_derivable(symbol, one)]
        diffs = [one for one in kinds if not depth_of(one)] if symbol in self._full else []
        if kind in FULL_KINDS:
            return self._merged(symbol, diffs)
        kinds = [one for one in kinds if one not in diffs]
        for key in [key for key in self._chains if key[0] == symbol and key[1] not in kinds]:
            del self._chains[key]
        state = self._top(symbol) if kinds else None
        if state is None:
            return []
        due = ((one, self._chain(symbol, one).advance(state, self._venue)) for one in kinds)
        return [(one, payload) for one, payload in due if payload is not None]

    def _merged(self, symbol: str, kinds: list[str]) -> list[tuple[str, bytes]]:
        """Return the events of slower diff streams that the newest change of the full book makes due."""
        for key in [key for key in self._mergers if key[0] == symbol and key[1] not in kinds]:
            del self._mergers[key]
        change = self._full[symbol].last
        found = []
        for kind in kinds if change is not None else []:
            assert change is not None  # noqa: S101  # the list is empty without one
            period_ms = _PERIODS_MS[self._venue][_suffix(kind)]
            event = self._mergers.setdefault((symbol, kind), DiffMerger(period_ms)).add(change)
            if event is not None:
                found.append((kind, msgspec.json.encode(_change_event(event, self._venue))))
        return found

    def _is_derivable(self, symbol: str, kind: str) -> bool:
        match = _KIND.fullmatch(kind)
        known = self._deepest.get(symbol, (0, b""))[0]
        return match is not None and match[2] in _PERIODS_MS[self._venue] and depth_of(kind) <= known

    def _chain(self, symbol: str, kind: str) -> Chain:
        if (symbol, kind) not in self._chains:
            # It leads on from the state before this one: a client may have fetched that as its snapshot.
            before = self._before.get(symbol)
            period_ms = _PERIODS_MS[self._venue][_suffix(kind)]
            last = decode_state(before) if before else None
            self._chains[symbol, kind] = Chain(depth_of(kind) or None, period_ms, last)
        return self._chains[symbol, kind]


def _suffix(kind: str) -> str | None:
    """Return the period a stream's name states, in ms; None for the default one."""
    match = _KIND.fullmatch(kind)
    return match[2] if match else None


def changes(before: Levels, after: Levels) -> Levels:
    """Return the levels to set to get from `before` to `after`; a size of 0 removes a level."""
    old, new = dict(before), dict(after)
    gone = [(price, "0") for price in old if price not in new]
    return [(price, size) for price, size in after if old.get(price) != size] + gone


def _change_event(change: BookChange, venue: Venue) -> dict[str, Any]:
    head: dict[str, Any] = {"e": "depthUpdate", "E": change.event_ms}
    ids = {"U": change.first_id, "u": change.update_id}
    if venue == "spot":
        sides = {"b": spot_levels(change.bids), "a": spot_levels(change.asks)}
        return {**head, "s": change.symbol, **ids, **sides}
    futures = {"T": change.time_ms, "s": change.symbol, "ps": change.symbol, "st": 1}
    return {**head, **futures, **ids, "pu": change.previous_id, "b": change.bids, "a": change.asks}


def _event(state: BookState, last_id: int, sides: dict[str, Levels], venue: Venue, *, is_diff: bool) -> dict[str, Any]:
    ids = {"U": last_id + 1, "u": state.update_id}
    if venue == "usdm":
        head = {"e": "depthUpdate", "E": state.event_ms, "T": state.time_ms, "s": state.symbol}
        return {**head, "ps": state.symbol, "st": 1, **ids, "pu": last_id, **sides}
    bids, asks = spot_levels(sides["b"]), spot_levels(sides["a"])
    if is_diff:
        return {"e": "depthUpdate", "E": state.event_ms, "s": state.symbol, **ids, "b": bids, "a": asks}
    return {"lastUpdateId": state.update_id, "bids": bids, "asks": asks}
