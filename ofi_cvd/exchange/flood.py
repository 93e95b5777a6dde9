"""A firehose for benchmarks: trades and quotes rendered a thousand at a time, at a fixed rate or flat out.

Trade ids are contiguous, times are now, and every trade can be fetched over
REST; prices and sizes mean nothing.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import count, islice

import numpy as np
from numpy.typing import NDArray

from ofi_cvd.errors import InputError
from ofi_cvd.exchange.frames import text_frame, wrap
from ofi_cvd.exchange.history import History, RestTrade
from ofi_cvd.exchange.hub import Block
from ofi_cvd.exchange.source import Sink

FIRST_ID = 1_000_000_000
TRADE_SHARE = 0.4
"""Part of the frames that are trades: 2,000 of 5,000, the burst of docs/protocol.md#rates."""

_STEP_S = 0.01
_FLAT_OUT_FRAMES = 1000  # of a stream at a time
_FLAT_OUT_BACKLOG = 1024 * 1024  # unsent bytes that make a flat-out source wait
_MAX_CHUNKS = 1_000_000

_TRADE = (
    '{{"e":"aggTrade","E":{0:\x01>13},"a":{0:\x02>10},"s":"{1}","p":"64000.{0:\x03>1}0","q":"0.00{0:\x03>1}",'
    '"nq":"0.00{0:\x03>1}","f":{0:\x04>10},"l":{0:\x05>10},"T":{0:\x01>13},"m":{2},"st":1}}'
)
_QUOTE = (
    '{{"e":"bookTicker","u":{0:\x02>10},"s":"{1}","ps":"{1}","b":"64000.00","B":"4.{0:\x03>1}00",'
    '"a":"64000.10","A":"3.{0:\x03>1}00","T":{0:\x01>13},"E":{0:\x01>13},"st":1}}'
)


class _Template:
    """A frame with holes of fixed width: runs of the bytes 1 to 5."""

    def __init__(self, payload: bytes) -> None:
        frame = text_frame(payload)
        self._row = np.frombuffer(frame, dtype=np.uint8)
        body = len(frame) - len(payload)  # the header has bytes of small value too
        self._holes = list(_runs(payload, body))

    def render(self, ids: NDArray[np.int64], now_ms: int) -> bytes:
        rows = np.tile(self._row, (ids.size, 1))
        digits = {1: _digits(np.array([now_ms]), 13), 2: _digits(ids, 10), 3: _digits(ids % 9 + 1, 1)}
        digits |= {4: _digits(ids * 2, 10), 5: _digits(ids * 2 + 1, 10)}
        for mark, start, width in self._holes:
            rows[:, start : start + width] = digits[mark]
        return rows.tobytes()


class _Stream:
    """One stream's frames, with ids that count up."""

    def __init__(self, symbol: str, kind: str, pattern: str) -> None:
        self.name = f"{symbol.lower()}@{kind}"
        self.next_id = FIRST_ID
        self._chunks = count()
        texts = [pattern.format("", symbol, side).encode() for side in ("true", "false")]
        self._raw = [_Template(text) for text in texts]
        self._combined = [_Template(wrap(self.name, text)) for text in texts]

    def block(self, frames: int, now_ms: int) -> Block:
        ids = np.arange(self.next_id, self.next_id + frames, dtype=np.int64)
        self.next_id += frames
        side = next(self._chunks) % 2
        return Block(self.name, frames, self._combined[side].render(ids, now_ms), self._raw[side].render(ids, now_ms))


class FloodHistory:
    """The trades of a flood, made again from the ids and times of the chunks they went out in."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.last: int | None = None
        self.count = 0
        self._first_ids, self._times, self._dropped = array("q"), array("q"), 0

    def add(self, trade_id: int, time_ms: int, payload: bytes) -> None:
        """Refuse: a flood remembers chunks."""
        raise NotImplementedError

    def add_chunk(self, first_id: int, frames: int, time_ms: int) -> None:
        """Remember trades that went out together."""
        self.first = first_id if self.first is None else self.first
        self.last = first_id + frames - 1
        self.count += frames
        self._first_ids.append(first_id)
        self._times.append(time_ms)
        if len(self._times) > _MAX_CHUNKS:
            half = _MAX_CHUNKS // 2
            self._first_ids, self._times = self._first_ids[half:], self._times[half:]
            self._dropped += half

    def from_id(self, trade_id: int, limit: int) -> list[RestTrade]:
        """Return up to `limit` trades with ids from `trade_id` on."""
        if not self._first_ids or self.last is None:
            return []
        start = max(trade_id, self._first_ids[0])
        return [self._trade(ident) for ident in range(start, min(start + limit, self.last + 1))]

    def between(self, start_ms: int, end_ms: int, limit: int) -> list[RestTrade]:
        """Return up to `limit` trades with `start_ms <= time <= end_ms`, oldest first."""
        first, stop = bisect_left(self._times, start_ms), bisect_right(self._times, end_ms)
        if first >= stop or self.last is None:
            return []
        end = self._first_ids[stop] if stop < len(self._first_ids) else self.last + 1
        return [self._trade(ident) for ident in islice(range(self._first_ids[first], end), limit)]

    def latest(self, limit: int) -> list[RestTrade]:
        """Return the newest `limit` trades, oldest first."""
        return [] if self.last is None else self.from_id(self.last - limit + 1, limit)

    def _trade(self, ident: int) -> RestTrade:
        chunk = bisect_right(self._first_ids, ident) - 1
        digit = ident % 9 + 1
        maker = (chunk + self._dropped) % 2 == 0
        texts = {"p": f"64000.{digit}0", "q": f"0.00{digit}", "nq": f"0.00{digit}"}
        return {"a": ident, **texts, "f": ident * 2, "l": ident * 2 + 1, "T": self._times[chunk], "m": maker}


class FloodSource:
    """Trades and quotes of `symbols`, `rate` frames a second together; None for as many as the slowest client takes.

    Raises:
        InputError: a rate that is not above zero.
    """

    def __init__(self, symbols: Iterable[str], rate: float | None) -> None:
        if rate is not None and not rate > 0:
            raise InputError(f"expected a flood of more than 0 frames a second, found {rate}")
        self.symbols = tuple(symbols)
        self._rate = rate
        self._histories = {symbol: FloodHistory() for symbol in self.symbols}

    def history(self, symbol: str) -> History:
        """Return the history of `symbol`."""
        return self._histories[symbol]

    async def play(self, sink: Sink) -> None:
        """Emit until cancelled."""
        trades = {symbol: _Stream(symbol, "aggTrade", _TRADE) for symbol in self.symbols}
        quotes = {symbol: _Stream(symbol, "bookTicker", _QUOTE) for symbol in self.symbols}
        shares: list[tuple[_Stream, float, FloodHistory | None]] = [
            *((trades[symbol], TRADE_SHARE, self._histories[symbol]) for symbol in self.symbols),
            *((quotes[symbol], 1 - TRADE_SHARE, None) for symbol in self.symbols),
        ]
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        while True:
            for stream, share, history in shares:
                frames = self._due(stream, share, loop.time() - start_s)
                if frames:
                    now_ms = sink.now_ms()
                    if history is not None:
                        history.add_chunk(stream.next_id, frames, now_ms)
                    sink.emit_block(stream.block(frames, now_ms))
            sink.settle()
            await asyncio.sleep(_STEP_S if self._rate else 0)
            while self._rate is None and not _has_room(sink.backlog()):  # noqa: ASYNC110  # sockets drain unannounced
                await asyncio.sleep(0.001)

    def _due(self, stream: _Stream, share: float, elapsed_s: float) -> int:
        if self._rate is None:
            return int(_FLAT_OUT_FRAMES * share)
        due = int(elapsed_s * self._rate * share / len(self.symbols))
        return due - (stream.next_id - FIRST_ID)


def _has_room(backlog: int | None) -> bool:
    return backlog is not None and backlog < _FLAT_OUT_BACKLOG


def _digits(values: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (values[:, None] // powers % 10 + ord("0")).astype(np.uint8)


def _runs(payload: bytes, offset: int) -> Iterator[tuple[int, int, int]]:
    start = 0
    while start < len(payload):
        mark = payload[start]
        width = 1
        while start + width < len(payload) and payload[start + width] == mark:
            width += 1
        if mark < 6:
            yield mark, offset + start, width
        start += width
