"""Where the market comes from: the contract of a source, and the simulated one in real time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple, Protocol

from ofi_cvd.exchange.history import History, TradeHistory
from ofi_cvd.exchange.hub import Block


class Event(NamedTuple):
    """One message of one symbol, due at `time_ms`; `stream` is the part after `@`."""

    time_ms: int
    stream: str
    payload: bytes


class Sink(Protocol):
    """What a source plays into."""

    def now_ms(self) -> int:
        """Return the exchange's clock in milliseconds since 1970."""

    def emit(self, stream: str, payload: bytes) -> None:
        """Publish `payload` on the full stream name, e.g. `btcusdt@aggTrade`."""

    def emit_block(self, block: Block) -> None:
        """Publish finished frames of one stream."""

    def backlog(self) -> int | None:
        """Return the unsent bytes of the slowest WebSocket; None where there is none."""

    def settle(self) -> None:
        """Hand everything emitted since the last call to the sockets."""


class Source(Protocol):
    """A market that plays itself.

    Attributes:
        symbols: upper-case names of everything it may emit.
    """

    symbols: tuple[str, ...]

    def history(self, symbol: str) -> History:
        """Return the empty history that remembers the aggregated trades of `symbol`."""

    async def play(self, sink: Sink) -> None:
        """Emit until the source is exhausted or the task is cancelled."""


class BlockMarket(Protocol):
    """A market of one symbol that is computed a few seconds at a time."""

    def block(self) -> Iterable[tuple[int, str, bytes]]:
        """Return the next few seconds of events, ordered by time."""


AHEAD_MS = 3_000
LEAD_MS = 1_000
_STEP_S = 0.004
_MOST_BLOCKS_BEFORE_START = 40  # a market slower than time begins late rather than never


class MarketSource:
    """Markets played in real time; blocks are computed ahead in a worker thread.

    Args:
        symbols: upper-case symbols.
        make: makes the market of a symbol whose first event is due at the given time (ms).
    """

    def __init__(self, symbols: Iterable[str], make: Callable[[str, int], BlockMarket]) -> None:
        self.symbols = tuple(symbols)
        self._make = make

    def history(self, symbol: str) -> History:
        """Return the history of `symbol`."""
        del symbol
        return TradeHistory()

    async def play(self, sink: Sink) -> None:
        """Emit every event when its time comes; the first second is in the past, so that there is a book to begin with."""
        start_ms = sink.now_ms() - LEAD_MS
        feeds = [_SymbolFeed(symbol, self._make, start_ms) for symbol in self.symbols]
        for feed in feeds:  # computing takes time too: begin when the present is covered
            for _ in range(_MOST_BLOCKS_BEFORE_START):
                if feed.known_until_ms >= sink.now_ms() + AHEAD_MS // 2:
                    break
                await asyncio.to_thread(feed.extend)
        computing: asyncio.Task[None] | None = None
        while True:
            now_ms = sink.now_ms()
            for feed in feeds:
                feed.play_until(now_ms, sink)
            sink.settle()
            if computing is None or computing.done():
                if computing is not None:
                    computing.result()
                behind = min(feeds, key=lambda feed: feed.known_until_ms)
                if behind.known_until_ms < now_ms + AHEAD_MS:
                    computing = asyncio.create_task(asyncio.to_thread(behind.extend))
            await asyncio.sleep(_STEP_S)


class _SymbolFeed:
    """The queue of one symbol; `extend` runs in the worker thread, the rest on the loop."""

    def __init__(self, symbol: str, make: Callable[[str, int], BlockMarket], start_ms: int) -> None:
        self._prefix = symbol.lower() + "@"
        self._market: BlockMarket | None = None
        self._make = partial(make, symbol, start_ms)
        self._events: deque[tuple[int, str, bytes]] = deque()
        self.known_until_ms = start_ms

    def extend(self) -> None:
        """Compute the next block."""
        if self._market is None:
            self._market = self._make()
        block = list(self._market.block())
        self._events.extend(block)
        if block:
            self.known_until_ms = block[-1][0]

    def play_until(self, now_ms: int, sink: Sink) -> None:
        """Emit what is due."""
        events = self._events
        while events and events[0][0] <= now_ms:
            _, stream, payload = events.popleft()
            sink.emit(self._prefix + stream, payload)
