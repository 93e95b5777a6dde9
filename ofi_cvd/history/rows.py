"""What every format has in common once its rows have the columns of a segment: which rows are usable, and why not."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import polars as pl

from ofi_cvd.spool.segments import BOOK_LEVELS, id_column, segment_schema

EARLIEST_MS: Final = 1_262_304_000_000  # 2010-01-01
LATEST_MS: Final = 4_102_444_800_000  # 2100-01-01

Item = TypeVar("Item")


@dataclass(frozen=True)
class Chunk:
    """Rows with the columns of a segment, and the lines that were refused, by reason."""

    frame: pl.DataFrame
    refused: Counter[str]


def judged(frame: pl.DataFrame, stream: str, span_ms: tuple[int, int] | None) -> Chunk:
    """Return the usable rows and the number of the others by reason: `malformed`, `implausible_time`, `other_period`.

    Args:
        frame: rows with the columns of a segment of `stream`.
        stream: the stream.
        span_ms: the time that the file's name allows.
    """
    verdict = frame.select(refused=_reason(stream, span_ms)).to_series()
    if verdict.null_count() == len(verdict):
        return Chunk(frame.select(segment_schema(stream).names()), Counter())
    counts: Counter[str] = Counter(dict(verdict.drop_nulls().value_counts().iter_rows()))
    return Chunk(frame.filter(verdict.is_null()).select(segment_schema(stream).names()), counts)


def _reason(stream: str, span_ms: tuple[int, int] | None) -> pl.Expr:
    own_ms = pl.coalesce("traded_ms", pl.col("recv_ns").floordiv(1_000_000))
    lacks = pl.any_horizontal(pl.col(name).is_null() for name in _needed(stream))
    start_ms, end_ms = span_ms or (EARLIEST_MS, LATEST_MS)
    return (
        pl.when(lacks | own_ms.is_null())
        .then(pl.lit("malformed"))
        .when(~own_ms.is_between(EARLIEST_MS, LATEST_MS, closed="left"))
        .then(pl.lit("implausible_time"))
        .when(~own_ms.is_between(start_ms, end_ms, closed="left"))
        .then(pl.lit("other_period"))
    )


def _needed(stream: str) -> list[str]:
    if stream in BOOK_LEVELS:
        return [id_column(stream)]
    values = ["price", "qty"]
    return [id_column(stream), *values, "is_bid" if stream == "tardisL2" else "buyer_is_maker"]


def prefetched(items: Iterator[Item], ahead: int = 2) -> Iterator[Item]:
    """Yield `items` while a thread prepares the next ones; an error of theirs is raised here.

    The thread ends with the iterator, also where the reader stops early.
    """
    end = object()
    slots = threading.Semaphore(ahead)
    ready: queue.SimpleQueue[object] = queue.SimpleQueue()
    stopped = threading.Event()

    def fill() -> None:
        try:
            for item in items:
                ready.put(item)
                slots.acquire()
                if stopped.is_set():
                    return
            ready.put(end)
        except BaseException as error:  # noqa: BLE001  # it is raised where the items are used
            ready.put(_Failure(error))

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not end:
            if isinstance(item, _Failure):
                raise item.error
            yield item  # type: ignore[misc]  # what the thread put in
            slots.release()
    finally:
        stopped.set()
        slots.release(ahead + 1)
        thread.join()


@dataclass(frozen=True)
class _Failure:
    error: BaseException


def shown(text: bytes | str) -> str:
    """Return a piece of a file as a person may safely see it."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return "".join(letter if letter.isprintable() else "?" for letter in words[:60])
