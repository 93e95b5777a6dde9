"""The aggregated trades that were emitted, kept for REST repair: bounded, compressed, addressed by id.

What the fault `gap` hides from the wire is here all the same: the exchange
executed it.
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, TypeAlias

import msgspec

from ofi_cvd.common.times import HOUR_MS

BLOCK_TRADES = 1000
RETAIN_MS = 48 * HOUR_MS
"""Age at which trades leave the history; the exchange says 24 to 48 hours (docs/protocol.md#rest)."""

RestTrade: TypeAlias = dict[str, object]
_decode = msgspec.json.Decoder(dict[str, object]).decode


class History(Protocol):
    """What REST asks about the aggregated trades of one symbol.

    Attributes:
        first: id of the first trade ever emitted, None before it.
        last: id of the last trade emitted.
        count: trades emitted, also those that can no longer be fetched.
    """

    first: int | None
    last: int | None
    count: int

    def add(self, trade_id: int, time_ms: int, payload: bytes) -> None:
        """Remember a trade; an id that is not above the last one is a repetition and is ignored."""

    def from_id(self, trade_id: int, limit: int) -> list[RestTrade]:
        """Return up to `limit` trades with ids from `trade_id` on."""

    def between(self, start_ms: int, end_ms: int, limit: int) -> list[RestTrade]:
        """Return up to `limit` trades with `start_ms <= time <= end_ms`, oldest first."""

    def latest(self, limit: int) -> list[RestTrade]:
        """Return the newest `limit` trades, oldest first."""


@dataclass(frozen=True, slots=True)
class _Block:
    ids: array[int]
    first_ms: int
    last_ms: int
    packed: bytes


@dataclass(slots=True)
class TradeHistory:
    """Trades of one symbol in the order they were emitted.

    Attributes:
        cap: most trades kept, in whole blocks of a thousand; the oldest block goes first, one always stays.
    """

    cap: int = 5_000_000
    first: int | None = None
    last: int | None = None
    count: int = 0
    _blocks: deque[_Block] = field(default_factory=deque)
    _open: list[tuple[int, int, bytes]] = field(default_factory=list)

    def add(self, trade_id: int, time_ms: int, payload: bytes) -> None:
        """Remember a trade; an id that is not above the last one is a repetition and is ignored."""
        if self.last is not None and trade_id <= self.last:
            return
        self.first = trade_id if self.first is None else self.first
        self.last = trade_id
        self.count += 1
        self._open.append((trade_id, time_ms, payload))
        if len(self._open) == BLOCK_TRADES:
            self._seal(time_ms)

    def from_id(self, trade_id: int, limit: int) -> list[RestTrade]:
        """Return up to `limit` trades with ids from `trade_id` on."""
        return _take((raw for ident, _, raw in self._rows_from_id(trade_id) if ident >= trade_id), limit)

    def between(self, start_ms: int, end_ms: int, limit: int) -> list[RestTrade]:
        """Return up to `limit` trades with `start_ms <= time <= end_ms`, oldest first."""
        return _take((raw for _, at_ms, raw in self._rows_from_ms(start_ms) if start_ms <= at_ms <= end_ms), limit)

    def latest(self, limit: int) -> list[RestTrade]:
        """Return the newest `limit` trades, oldest first."""
        rows = [raw for _, _, raw in self._open]
        for block in reversed(self._blocks):
            if len(rows) >= limit:
                break
            rows = [raw for _, _, raw in _unpack(block)] + rows
        return _take(iter(rows[-limit:]), limit)

    def _seal(self, now_ms: int) -> None:
        ids = array("q", (ident for ident, _, _ in self._open))
        text = b"\n".join(b"%d %s" % (at_ms, raw) for _, at_ms, raw in self._open)
        first_ms, last_ms = self._open[0][1], self._open[-1][1]
        self._blocks.append(_Block(ids, first_ms, last_ms, zlib.compress(text, 1)))
        self._open.clear()
        while len(self._blocks) > 1 and (
            len(self._blocks) * BLOCK_TRADES > self.cap or self._blocks[0].last_ms < now_ms - RETAIN_MS
        ):
            self._blocks.popleft()

    def _rows_from_id(self, trade_id: int) -> Iterator[tuple[int, int, bytes]]:
        start = bisect_left(self._blocks, trade_id, key=lambda block: block.ids[-1])
        yield from self._rows(start)

    def _rows_from_ms(self, start_ms: int) -> Iterator[tuple[int, int, bytes]]:
        start = bisect_left(self._blocks, start_ms, key=lambda block: block.last_ms)
        yield from self._rows(start)

    def _rows(self, start: int) -> Iterator[tuple[int, int, bytes]]:
        for index in range(start, len(self._blocks)):
            yield from _unpack(self._blocks[index])
        yield from self._open


def _unpack(block: _Block) -> Iterator[tuple[int, int, bytes]]:
    for ident, line in zip(block.ids, zlib.decompress(block.packed).split(b"\n"), strict=True):
        at_ms, _, raw = line.partition(b" ")
        yield ident, int(at_ms), raw


def _take(rows: Iterator[bytes], limit: int) -> list[RestTrade]:
    return [_rest_trade(raw) for raw in islice(rows, limit)]


def _rest_trade(raw: bytes) -> RestTrade:
    """Return the REST object of a streamed trade: no event name, no push time, no symbol."""
    return {key: value for key, value in _decode(raw).items() if key not in {"e", "E", "s", "st"}}
