"""What was received, as far as the spool is still there: files of the run's trades, and frames that left no row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec

from ofi_cvd.binance.wire import TRADE_ID_PATHS, AggTrade, Message, Trade, parse_data
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings
from ofi_cvd.spool.layout import SpoolFile, list_files
from ofi_cvd.spool.line import parse_line
from ofi_cvd.spool.reader import plain_size, read_lines

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_LAST_MS: Final = 1000  # a frame of the window's last second may belong to a bucket that ends behind it


@dataclass(frozen=True)
class Unbuilt:
    """A clock hour with frames in the spool and no rows of the tables that they should have made."""

    symbol: str
    start_ms: int
    frames: str
    kinds: tuple[str, ...]


def received_values(settings: Settings, window: Window) -> dict[str, object]:
    """Return the parameters of `duplicates_received`: the spool files of the window's trades, repairs included."""
    files = _files(settings, window.symbols, settings.trade_stream, window.start_ms, window.end_ms)
    paths = [(file.sealed or file.plain) for file in files]
    return {"files": [path.as_posix() for path in paths if path], "id_path": TRADE_ID_PATHS[settings.trade_stream]}


def asked_streams(settings: Settings) -> tuple[str, ...]:
    """Return the streams that a recording of the dataset asked for: trades, books, and what is recorded beside them.

    `BOOK_STREAMS` is a setting of the recorder, not of the dataset: where the dataset's own source is not among them,
    they are not those of its recording.
    """
    books = (settings.source,) if settings.has_book else ()
    beside = settings.book_streams if settings.source in settings.book_streams else ()
    return tuple(dict.fromkeys((settings.trade_stream, *books, *beside)))


def silent_streams(settings: Settings, window: Window, heard: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the `(symbol, stream)` asked for without one frame in the window; those in `heard` are known to have one."""
    return [
        (symbol, stream)
        for symbol in window.symbols
        for stream in asked_streams(settings)
        if (symbol, stream) not in heard and not _speaks(settings, symbol, stream, window)
    ]


def unbuilt(settings: Settings, symbol: str, start_ms: int, end_ms: int, kinds: tuple[str, ...]) -> list[Unbuilt]:
    """Return what the spool has of a stretch within one clock hour whose tables `kinds` have no row."""
    found = []
    trades = tuple(kind for kind in kinds if kind in ("prices", "cvd"))
    books = tuple(kind for kind in kinds if kind in ("ofi", "fusion"))
    if trades and _has(_trade_times(settings, symbol, start_ms, end_ms), start_ms, end_ms, 1):
        found.append(Unbuilt(symbol, start_ms, "an admitted trade in the spool", trades))
    if books and settings.has_book:
        times = _book_times(settings, symbol, start_ms, end_ms)
        if _has(times, start_ms, end_ms - _LAST_MS, 2):
            found.append(Unbuilt(symbol, start_ms, f"two frames of {settings.source} in the spool", books))
    return found


def is_admitted(message: Message) -> bool:
    """Return whether a trade is admitted: positive price and quantity, not traded after its push, of the market."""
    if not isinstance(message, AggTrade | Trade):
        return False
    numbers = [Decimal(text) if _NUMBER.fullmatch(text) else Decimal(0) for text in (message.price, message.qty)]
    on_time = message.event_ms is None or message.trade_ms <= message.event_ms + 1000
    return min(numbers) > 0 and on_time and getattr(message, "kind", None) in (None, "MARKET")


def _has(times: Iterator[int], start_ms: int, end_ms: int, wanted: int) -> bool:
    """Return whether at least `wanted` of the times lie in `[start_ms, end_ms)`; reads no further than it must."""
    for at_ms in times:
        wanted -= start_ms <= at_ms < end_ms
        if wanted <= 0:
            return True
    return False


def _trade_times(settings: Settings, symbol: str, start_ms: int, end_ms: int) -> Iterator[int]:
    for _, message in _messages(settings, symbol, settings.trade_stream, start_ms, end_ms):
        if is_admitted(message):
            yield getattr(message, "trade_ms", 0)


def _book_times(settings: Settings, symbol: str, start_ms: int, end_ms: int) -> Iterator[int]:
    for recv_ns, message in _messages(settings, symbol, settings.source, start_ms, end_ms):
        yield getattr(message, "trade_ms", None) or getattr(message, "event_ms", None) or recv_ns // 1_000_000


def _messages(
    settings: Settings, symbol: str, stream: str, start_ms: int, end_ms: int
) -> Iterator[tuple[int, Message]]:
    for file in _files(settings, (symbol,), stream, start_ms, end_ms):
        for line in read_lines(file):
            try:
                told = parse_line(line)
                yield told.recv_ns, parse_data(stream, told.data)
            except (msgspec.DecodeError, ValueError):
                continue


def _speaks(settings: Settings, symbol: str, stream: str, window: Window) -> bool:
    for file in _files(settings, (symbol,), stream, window.start_ms, window.end_ms):
        if window.start_ms <= file.hour_ms and file.hour_ms + HOUR_MS <= window.end_ms and plain_size(file):
            return True
        for line in read_lines(file):
            try:
                recv_ms = parse_line(line).recv_ns // 1_000_000
            except msgspec.DecodeError:
                continue
            if window.start_ms <= recv_ms < window.end_ms:
                return True
    return False


def _files(settings: Settings, symbols: tuple[str, ...], stream: str, start_ms: int, end_ms: int) -> list[SpoolFile]:
    return list_files(
        settings.spool_dir,
        symbols=symbols,
        streams={stream},
        start_ms=start_ms,
        end_ms=end_ms + HOUR_MS,  # the last frames may have been received in the next hour
    )
