"""From the market to the listeners: what was emitted is remembered first, then delivered.

The hub is the exchange's truth: a trade that a fault keeps off the wire is
nevertheless in the history, and so in REST.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from ofi_cvd.exchange.book import deepest, read_state, snapshot
from ofi_cvd.exchange.frames import text_frame, wrap
from ofi_cvd.exchange.history import TradeHistory
from ofi_cvd.exchange.routes import Venue
from ofi_cvd.exchange.session import Session

_TRADE_ID = re.compile(rb'"a":(\d+)')
_TRADE_TIME = re.compile(rb'"T":(\d+)')


class Listener(Protocol):
    """A connection as the hub sees it."""

    session: Session

    def push(self, frame: bytes) -> None:
        """Queue finished frames for sending."""


class Hub:
    """Histories, books and subscriptions of every symbol.

    Attributes:
        histories: emitted aggregated trades by symbol.
        frames: frames emitted by stream name, before any fault.
    """

    def __init__(self, symbols: Iterable[str]) -> None:
        self.symbols = tuple(symbols)
        self.histories = {symbol: TradeHistory() for symbol in self.symbols}
        self.books: dict[str, dict[str, bytes]] = {symbol: {} for symbol in self.symbols}
        self.frames: Counter[str] = Counter()
        self._listeners: dict[str, list[Listener]] = {}

    def join(self, listener: Listener) -> None:
        """Deliver to `listener` from now on what its session subscribes to; call again after a change."""
        self.leave(listener)
        for stream in listener.session.audible:
            self._listeners.setdefault(stream, []).append(listener)

    def leave(self, listener: Listener) -> None:
        """Stop delivering to `listener`."""
        for listeners in self._listeners.values():
            if listener in listeners:
                listeners.remove(listener)

    def publish(self, stream: str, payload: bytes) -> None:
        """Remember one event of the market and deliver it."""
        self._remember(stream, payload)
        self.deliver(stream, payload)

    def snapshot(self, symbol: str, limit: int, venue: Venue, now_ms: int) -> dict[str, object]:
        """Return the REST book of `symbol`."""
        payload = deepest(self.books[symbol])
        return snapshot(read_state(payload) if payload else None, limit, venue, now_ms)

    def deliver(self, stream: str, payload: bytes) -> None:
        """Send `payload` to everyone who listens to `stream`; each wrapping is rendered once."""
        listeners = self._listeners.get(stream)
        if not listeners:
            return
        raw = combined = b""
        for listener in listeners:
            if listener.session.combined:
                combined = combined or text_frame(wrap(stream, payload))
                listener.push(combined)
            else:
                raw = raw or text_frame(payload)
                listener.push(raw)

    def _remember(self, stream: str, payload: bytes) -> None:
        self.frames[stream] += 1
        name, _, kind = stream.partition("@")
        symbol = name.upper()
        if kind == "aggTrade":
            ident, time = _TRADE_ID.search(payload), _TRADE_TIME.search(payload)
            if ident and time:
                self.histories[symbol].add(int(ident[1]), int(time[1]), payload)
        elif kind.startswith("depth"):
            self.books[symbol][kind] = payload
