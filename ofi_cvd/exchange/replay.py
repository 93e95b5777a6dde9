"""A recorded spool played back with its own spacing.

A payload leaves the exchange byte for byte as it was recorded, except that
with `shift_to_now` its event and trade times are moved so that the first
message is a few milliseconds old when it is sent; at a speed other than 1
times are compressed with the playback.  Repaired trades, which the recorder
fetched over REST, are sent at the time they happened.
"""

from __future__ import annotations

import asyncio
import heapq
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from ofi_cvd.binance.wire import parse_stream
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import InputError
from ofi_cvd.exchange.history import History, TradeHistory
from ofi_cvd.exchange.source import Sink
from ofi_cvd.spool.layout import SNAPSHOT_STREAM, SpoolFile, list_files, list_hours
from ofi_cvd.spool.line import parse_line
from ofi_cvd.spool.reader import read_lines

_BLOCK_EVENTS = 5000
_AGE_MS = 20  # of the first message when it is sent
_STEP_S = 0.004
_TIMES = re.compile(rb'"([ET])":(\d{13})(?=[,}])')
_decode = msgspec.json.Decoder(dict[str, object]).decode


class Recorded(NamedTuple):
    """One message of the spool: when it was received, on which full stream name, and its `data`."""

    recv_ns: int
    stream: str
    payload: bytes


class ReplaySource:
    """A spool as a market.

    Args:
        spool: the spool's folder.
        speed: seconds of recording per second.
        shift_to_now: whether times inside the payloads move to the present.

    Attributes:
        rejected: lines that could not be read as messages, so far.

    Raises:
        InputError: no spool there, or a speed that is not above zero.
    """

    def __init__(self, spool: Path, *, speed: float = 1.0, shift_to_now: bool = True) -> None:
        if not 0 < speed < float("inf"):
            raise InputError(f"expected a replay speed above 0, found {speed}")
        self.symbols = tuple(sorted({file.symbol for file in list_files(spool)}))
        if not self.symbols:
            raise InputError(f"expected a spool with recorded hours at {spool}, found none")
        self.rejected = 0
        self._spool, self._speed, self._shift_to_now = spool, speed, shift_to_now

    def history(self, symbol: str) -> History:
        """Return the history of `symbol`."""
        del symbol
        return TradeHistory()

    async def play(self, sink: Sink) -> None:
        """Emit every message once, then return."""
        events = self._events()
        block = await asyncio.to_thread(_take, events)
        if not block:
            return
        start_ms, first = sink.now_ms(), block[0]
        clock = _Shift(first, start_ms, self._speed)
        while block:
            following = asyncio.create_task(asyncio.to_thread(_take, events))
            try:
                for event in block:
                    due_ms = start_ms + (event.recv_ns - first.recv_ns) / 1e6 / self._speed
                    while sink.now_ms() < due_ms:
                        sink.settle()
                        await asyncio.sleep(_STEP_S)
                    sink.emit(event.stream, clock.shifted(event.payload) if self._shift_to_now else event.payload)
                sink.settle()
                await asyncio.sleep(0)
            finally:
                block = await following

    def _events(self) -> Iterator[Recorded]:
        for hour_ms, _ in list_hours(self._spool):
            files = list_files(self._spool, start_ms=hour_ms, end_ms=hour_ms + HOUR_MS)
            streams = [self._repaired(file) if file.repair else self._received(file) for file in files]
            yield from heapq.merge(*streams, key=lambda event: event.recv_ns)

    def _received(self, file: SpoolFile) -> Iterator[Recorded]:
        for raw in read_lines(file):
            try:
                line = parse_line(raw)
            except msgspec.DecodeError:
                self.rejected += 1
                continue
            if parse_stream(line.stream) is None and file.stream != SNAPSHOT_STREAM:
                self.rejected += 1
                continue
            yield Recorded(line.recv_ns, line.stream, bytes(line.data))

    def _repaired(self, file: SpoolFile) -> Iterator[Recorded]:
        found = []
        for event in self._received(file):
            trade = _decode(event.payload)
            time_ms = trade.get("T")
            if not isinstance(time_ms, int):
                self.rejected += 1
                continue
            full = {"e": file.stream, "E": time_ms, "s": file.symbol, **trade}
            found.append(Recorded(time_ms * 1_000_000, event.stream, msgspec.json.encode(full)))
        yield from sorted(found)


class _Shift:
    """Moves times of the recording to times of the playback, keeping their order and, at speed 1, their distances."""

    def __init__(self, first: Recorded, start_ms: int, speed: float) -> None:
        match = _TIMES.search(first.payload)
        self._from_ms = int(match[2]) if match else first.recv_ns // 1_000_000
        self._to_ms = start_ms - _AGE_MS
        self._speed = speed

    def shifted(self, payload: bytes) -> bytes:
        return _TIMES.sub(self._moved, payload)

    def _moved(self, match: re.Match[bytes]) -> bytes:
        return b'"%s":%d' % (match[1], self._to_ms + round((int(match[2]) - self._from_ms) / self._speed))


def _take(events: Iterator[Recorded]) -> list[Recorded]:
    return list(islice(events, _BLOCK_EVENTS))
