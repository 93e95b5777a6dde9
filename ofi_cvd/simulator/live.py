"""The market in real time: messages of every stream, block by block, as they are due."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ofi_cvd.errors import InputError
from ofi_cvd.simulator.engine import Engine
from ofi_cvd.simulator.frames import STREAMS, payloads, whole_book
from ofi_cvd.simulator.instruments import STEP_MS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class MarketEvent(NamedTuple):
    """One message: when it is pushed (UTC ms), on which stream, and its `data` object."""

    time_ms: int
    stream: str
    payload: bytes


class Market:
    """One symbol's simulated market as a time-ordered stream of messages.

    Nothing is generated before it is asked for: call `block` as real time
    passes, or iterate for ever.  All streams come from one book and one tape
    (see `frames` for what is consistent with what).  `rate` multiplies trades and
    best-quote updates; depth frames stay at ten a second and the price's
    volatility is untouched.  The same arguments give the same messages.  They
    are not those of `simulate_spool`, whose blocks are hours.
    """

    def __init__(
        self,
        symbol: str,
        seed: int,
        start_ms: int,
        rate: float = 1.0,
        *,
        streams: Sequence[str] = STREAMS,
        block_ms: int = 2_000,
    ) -> None:
        """Open the market of `symbol` (upper case) at `start_ms`, rounded down to 100 ms.

        `streams` limits what is written, which saves time; with a stream left
        out the others are unchanged.

        Raises:
            InputError: an unknown stream, a rate that is not positive, a negative
                seed, or a block shorter than 100 ms.
        """
        for stream in streams:
            if stream not in STREAMS:
                raise InputError(f"expected a stream among {', '.join(STREAMS)}, found {stream!r}")
        if not rate > 0:
            raise InputError(f"expected a market rate above 0, found {rate}")
        if block_ms < STEP_MS:
            raise InputError(f"expected a block of at least {STEP_MS} ms, found {block_ms}")
        self.symbol, self.streams = symbol, tuple(streams)
        self._engine = Engine(symbol, seed, start_ms, rate)
        self._steps = block_ms // STEP_MS
        self._held: list[MarketEvent] = []
        self._opens = True

    @property
    def now_ms(self) -> int:
        """The time up to which messages have been handed out, exclusive."""
        return self._engine.now_ms

    def block(self) -> list[MarketEvent]:
        """Return the messages of the next block, ordered by `time_ms`.

        The first block opens with the whole book as a `depthSnapshot`: an exchange has it, changes alone do not say it.
        A message pushed just past the block's end comes with the next block, so
        that time never runs backwards from one call to the next.
        """
        block = self._engine.advance(self._steps)
        events = self._held
        if "depth@100ms" in self.streams and self._opens:
            events.append(MarketEvent(int(block.book.event_ms[0]), "depthSnapshot", whole_book(self._engine, block)))
        self._opens = False
        for stream in self.streams:
            messages = payloads(stream, self._engine, block)
            times = messages.event_ms.tolist()
            events.extend(map(MarketEvent, times, [stream] * len(times), messages.texts()))
        events.sort(key=_time)  # stable: within a stream the order of ids stays
        due = int(np.searchsorted([event.time_ms for event in events], block.end_ms))
        self._held = events[due:]
        return events[:due]

    def __iter__(self) -> Iterator[MarketEvent]:
        while True:
            yield from self.block()


def _time(event: MarketEvent) -> int:
    return event.time_ms
