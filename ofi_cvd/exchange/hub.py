"""From the market to the listeners: what was emitted is remembered first, then delivered.

The hub is the exchange's truth: a trade that a fault keeps off the wire is
nevertheless in the history, and so in REST.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from ofi_cvd.exchange.book import SNAPSHOT_KIND, Books, snapshot
from ofi_cvd.exchange.framefaults import FrameFaults
from ofi_cvd.exchange.frames import text_frame, wrap
from ofi_cvd.exchange.history import History, RestTrade
from ofi_cvd.exchange.routes import Venue
from ofi_cvd.exchange.session import Session
from ofi_cvd.exchange.spot import spot_payload, spot_rest_trade

_TRADE_ID = re.compile(rb'"a":(\d+)')
_TRADE_TIME = re.compile(rb'"T":(\d+)')
_TIMES = re.compile(rb'"([ET])":(\d+)')


class Listener(Protocol):
    """A connection as the hub sees it."""

    session: Session

    def push(self, frame: bytes) -> None:
        """Queue finished frames for sending."""


class Block(NamedTuple):
    """Many frames of one stream, finished for the wire in both wrappings."""

    stream: str
    frames: int
    combined: bytes
    raw: bytes


class Hub:
    """Histories, books and subscriptions of every symbol.

    Args:
        histories: an empty history for each symbol.
        faults: what becomes of frames on their way out.
        venue: the layout of what goes out; what comes in is futures.

    Attributes:
        histories: emitted aggregated trades by symbol.
        frames: frames emitted by stream name, before any fault.
        clock_ms: what is added to every exchange time.
    """

    def __init__(self, histories: Mapping[str, History], faults: FrameFaults, venue: Venue) -> None:
        self.histories = dict(histories)
        self.books = Books(venue)
        self.frames: Counter[str] = Counter()
        self.clock_ms = 0
        self._faults, self._venue = faults, venue
        self._listeners: dict[str, list[Listener]] = {}

    def join(self, listener: Listener) -> None:
        """Deliver to `listener` from now on what its session subscribes to; call again after a change."""
        self.leave(listener)
        for stream in listener.session.audible:
            self._listeners.setdefault(stream, []).append(listener)

    def leave(self, listener: Listener) -> None:
        """Stop delivering to `listener`."""
        for stream, listeners in list(self._listeners.items()):
            if listener in listeners:
                listeners.remove(listener)
                if not listeners:
                    del self._listeners[stream]

    def publish(self, stream: str, payload: bytes) -> None:
        """Remember one event of the market and deliver it, with everything that follows from it."""
        if self.clock_ms:
            payload = _TIMES.sub(self._shift, payload)
        name, _, kind = stream.partition("@")
        symbol = name.upper()
        if kind == SNAPSHOT_KIND:  # how the source says what its book is: REST shows it, no stream does
            self.books.see(symbol, kind, payload)
            return
        self.frames[stream] += 1
        if kind == "aggTrade":
            ident, time = _TRADE_ID.search(payload), _TRADE_TIME.search(payload)
            if ident and time:
                self.histories[symbol].add(int(ident[1]), int(time[1]), payload)
        self._deliver_as_venue(stream, kind, payload)
        if kind.startswith("depth") and self.books.see(symbol, kind, payload):
            for derived, event in self.books.derive(symbol, kind, self._derived(name)):
                self.deliver(f"{name}@{derived}", event)

    def publish_block(self, block: Block) -> None:
        """Deliver finished frames; their trades are in the source's own history."""
        self.frames[block.stream] += block.frames
        for listener in self._listeners.get(block.stream, ()):
            listener.push(block.combined if listener.session.combined else block.raw)

    def deliver(self, stream: str, payload: bytes) -> None:
        """Send `payload` to everyone who listens to `stream`, through the faults; each wrapping is rendered once."""
        listeners = self._listeners.get(stream)
        if not listeners:  # faults concern what is sent: nobody's frames are not changed
            return
        if self._faults.is_idle:
            _send(listeners, stream, payload)
            return
        for sent in self._faults.apply(stream, payload):
            if sent.is_finished_frame:
                for listener in listeners:
                    listener.push(sent.payload)
            else:
                _send(listeners, stream, sent.payload)

    def snapshot(self, symbol: str, limit: int, now_ms: int) -> dict[str, object]:
        """Return the REST book of `symbol`."""
        return snapshot(self.books.state(symbol), limit, self._venue, now_ms)

    def rest_trades(self, trades: list[RestTrade]) -> list[RestTrade]:
        """Return trades of a history in the venue's layout."""
        return trades if self._venue == "usdm" else [spot_rest_trade(trade) for trade in trades]

    def _deliver_as_venue(self, stream: str, kind: str, payload: bytes) -> None:
        shown = payload if self._venue == "usdm" else spot_payload(kind, payload)
        if shown is not None:
            self.deliver(stream, shown)

    def _derived(self, name: str) -> list[str]:
        """Return the depth streams of a symbol that someone listens to and the source does not have."""
        prefix = f"{name}@depth"
        wanted = (stream for stream in self._listeners if stream.startswith(prefix) and stream not in self.frames)
        return [stream.partition("@")[2] for stream in wanted]

    def _shift(self, match: re.Match[bytes]) -> bytes:
        return b'"%s":%d' % (match[1], int(match[2]) + self.clock_ms)


def _send(listeners: list[Listener], stream: str, payload: bytes) -> None:
    raw = combined = b""
    for listener in listeners:
        if listener.session.combined:
            combined = combined or text_frame(wrap(stream, payload))
            listener.push(combined)
        else:
            raw = raw or text_frame(payload)
            listener.push(raw)
