"""Writes the segments of one input: rows come in any order, memory stays bounded, files appear whole.

Rows wait by hour; when many wait, the hours not touched last are sorted by id and put aside in a staging folder of the
spool. An hour put aside once is only renamed into its place at the end; an hour that came back is merged first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from ofi_cvd.common.files import fsync_folder, fsync_path
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.spool.segments import id_column, segment_path, segment_schema

WAITING_ROWS: Final = 1_000_000
_BIG_HOUR_ROWS: Final = 3_000_000

Finish = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True)
class HourOfRows:
    """One hour that was written: rows, smallest and largest id, how many different ids, earliest and latest time."""

    hour_ms: int
    rows: int
    first_id: int
    last_id: int
    ids: int
    first_ms: int
    last_ms: int


class SegmentWriter:
    """The segments of one input, one symbol and one stream.

    Args:
        root: the spool.
        symbol: the symbol.
        stream: the stream.
        source: the format of the input.
        sha256: the input's digest.
    """

    def __init__(self, root: Path, symbol: str, stream: str, source: str, sha256: str) -> None:
        self._root, self._names = root, (symbol, stream, source, sha256)
        self._staging = root / f".import-{sha256[:12]}-{symbol}-{stream}.{os.getpid()}"
        self._schema, self._key = segment_schema(stream), id_column(stream)
        self._waiting: dict[int, list[pl.DataFrame]] = {}
        self._parts: dict[int, int] = {}
        self._stats: dict[int, HourOfRows] = {}
        self._last_touched: set[int] = set()

    @property
    def has_rows(self) -> bool:
        """Whether any row was taken."""
        return bool(self._waiting or self._parts)

    def add(self, frame: pl.DataFrame, hour: pl.Expr) -> None:
        """Take rows with the columns of the segment; `hour` says which hour each belongs to, in ms.

        Raises:
            OSError: the disk refused.
        """
        hours = frame.select(hour.alias("hour")).to_series()
        if hours.is_empty():
            return
        if hours.min() == hours.max():
            pieces = {int(hours[0]): frame}
        else:
            keyed = frame.with_columns(hour=hours).partition_by("hour", as_dict=True, include_key=False)
            pieces = {int(key[0]): piece for key, piece in keyed.items()}
        for at, piece in pieces.items():
            self._waiting.setdefault(at, []).append(piece)
        self._last_touched = set(pieces)
        self._put_aside_what_waits()

    def finish(self, complete: Finish | None = None) -> list[HourOfRows]:
        """Write every hour into its place, oldest first, and return what was written; then the ledger may say so.

        Args:
            complete: turns the rows of an hour, sorted by id, into what is written; by default they stay as they are.

        Raises:
            OSError: the disk refused.
        """
        for hour_ms in list(self._waiting):
            self._put_aside(hour_ms)
        written = [self._place(hour_ms, complete) for hour_ms in sorted(self._parts)]
        self.abandon()
        return written

    def abandon(self) -> None:
        """Remove what was put aside; segments in their places stay and count for nothing without a record."""
        shutil.rmtree(self._staging, ignore_errors=True)
        self._waiting.clear()

    def _put_aside_what_waits(self) -> None:
        total = {at: sum(map(len, pieces)) for at, pieces in self._waiting.items()}
        if sum(total.values()) <= WAITING_ROWS:
            return
        for at, rows in total.items():
            if at not in self._last_touched or rows > _BIG_HOUR_ROWS:
                self._put_aside(at)

    def _put_aside(self, hour_ms: int) -> None:
        frame = self._sorted(pl.concat(self._waiting.pop(hour_ms)))
        number = self._parts.get(hour_ms, 0)
        self._staging.mkdir(parents=True, exist_ok=True)
        _write(frame, self._staged(hour_ms, number))
        self._parts[hour_ms] = number + 1
        self._stats[hour_ms] = self._describe(hour_ms, frame)

    def _place(self, hour_ms: int, complete: Finish | None) -> HourOfRows:
        staged = self._staged(hour_ms, 0)
        if self._parts[hour_ms] > 1 or complete is not None:
            parts = [pl.read_parquet(self._staged(hour_ms, number)) for number in range(self._parts[hour_ms])]
            frame = self._sorted(pl.concat(parts))
            self._stats[hour_ms] = self._describe(hour_ms, frame)
            _write(complete(frame) if complete else frame, staged)
        target = segment_path(self._root, hour_ms, *self._names)
        target.parent.mkdir(parents=True, exist_ok=True)
        fsync_path(staged)
        staged.replace(target)
        fsync_folder(target.parent)
        return self._stats[hour_ms]

    def _sorted(self, frame: pl.DataFrame) -> pl.DataFrame:
        frame = frame.select(self._schema.names())
        return frame if bool((frame[self._key].diff() > 0).all()) else frame.sort(self._key, "file_row")

    def _describe(self, hour_ms: int, frame: pl.DataFrame) -> HourOfRows:
        own_ms = pl.coalesce("traded_ms", pl.col("recv_ns").floordiv(1_000_000))
        first_ms, last_ms = frame.select(own_ms.min(), own_ms.max().alias("last")).row(0)
        ids = frame[self._key]
        return HourOfRows(hour_ms, len(frame), int(ids[0]), int(ids[-1]), ids.rle_id()[-1] + 1, first_ms, last_ms)

    def _staged(self, hour_ms: int, number: int) -> Path:
        return self._staging / f"{hour_ms // HOUR_MS}-{number}.parquet"


def _write(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path, compression="zstd", compression_level=1, statistics=True)
