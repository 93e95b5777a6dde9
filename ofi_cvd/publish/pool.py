"""Rows that are read and not yet in a closed hour: which of them belong to an hour is decided here (SPEC 1, 3, 4).

Both streams are ordered by the venue's ids, and an hour is a run of ids: it ends before the first row whose own time has
passed the hour's end. The time of everything behind that row is the running maximum, so it lies behind the hour too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import polars as pl

from ofi_cvd.features import book, trades

Sequence = Callable[[pl.LazyFrame], pl.LazyFrame]


class Pool:
    """The open rows of one stream, sequenced.

    Args:
        schema: of the raw rows.
        key: the id column.
        time: a row's own time.
        counts: whether a row's time counts (not that of a trade that is not admitted).
        sequence: sorts and removes duplicates.
    """

    def __init__(self, schema: pl.Schema, *, key: str, time: pl.Expr, counts: pl.Expr, sequence: Sequence) -> None:
        self.key, self._time, self._counts, self._sequence = key, time, counts, sequence
        self._columns = schema.names()
        self._empty = pl.LazyFrame(schema=schema).pipe(sequence).collect()
        self._rows = self._empty
        self._fresh: list[pl.DataFrame] = []

    def add(self, frame: pl.DataFrame) -> None:
        """Take rows of one more file, in any order."""
        self._fresh.append(frame.select(self._columns))

    def rows(self) -> pl.DataFrame:
        """Return all open rows, sequenced."""
        if self._fresh:
            merged = pl.concat([self._rows.select(self._columns), *self._fresh])
            self._rows, self._fresh = merged.lazy().pipe(self._sequence).collect(), []
        return self._rows

    def take(self, end_ms: int) -> tuple[pl.DataFrame, int | None]:
        """Return the rows before `end_ms` and the id the later ones begin with; the rows stay in the pool."""
        rows = self.rows()
        later: int | None = rows.filter(self._counts & (self._time >= end_ms)).select(pl.col(self.key).min()).item()
        return (rows if later is None else rows.filter(pl.col(self.key) < later)), later

    def drop_before(self, key: int | None) -> None:
        """Forget the rows of closed hours."""
        if key is not None:
            self._rows = self.rows().filter(pl.col(self.key) >= key)

    def clear(self) -> None:
        """Forget all rows."""
        self._rows, self._fresh = self._empty, []

    def first_ms(self) -> int | None:
        """Return the own time of the first open row, by id, whose time counts."""
        first = self.rows().lazy().filter(self._counts).head(1).select(self._time).collect()
        return None if first.is_empty() else int(first.item())

    def last_ms(self) -> int | None:
        """Return the latest own time among the open rows that count."""
        found: int | None = self.rows().filter(self._counts).select(self._time.max()).item()
        return found


def trade_pool() -> Pool:
    """Return an empty pool of trades."""
    admitted = pl.col("reject_reason").is_null()
    return Pool(trades.ROWS, key="trade_id", time=pl.col("traded_ms"), counts=admitted, sequence=trades.sequenced)


def book_pool(levels: int, *, is_ticker: bool) -> Pool:
    """Return an empty pool of book updates."""
    always = pl.col("update_id").is_not_null()
    sequence = partial(book.sequenced, is_ticker=is_ticker)
    return Pool(book.rows_schema(levels), key="update_id", time=book.update_ms(), counts=always, sequence=sequence)
