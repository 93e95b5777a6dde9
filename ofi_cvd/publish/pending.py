"""Rows that are read and not yet in a closed hour: which of them belong to an hour is decided here.

Both streams are ordered by the venue's ids, and an hour is a run of ids: it ends before the first row whose own time has
passed the hour's end. The time of everything behind that row is the running maximum, so it lies behind the hour too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import polars as pl

from ofi_cvd.features import book, trades
from ofi_cvd.publish.basis import Position

Sequence = Callable[[pl.LazyFrame], pl.LazyFrame]


class PendingRows:
    """The open rows of one stream, sequenced.

    Rows of one id that are different updates (`bookTicker`) may lie on both sides of an hour's end, so a place in the
    stream is an id and, there, a receipt. Rows of the last id of a closed hour are kept as long as they can tell a
    repetition of theirs from a new row.

    Args:
        schema: of the raw rows.
        key: the id column.
        time: a row's own time.
        counts: whether a row's time counts (not that of a trade that is not admitted).
        sequence: sorts and removes duplicates.
        shares_ids: whether several rows may have one id.
    """

    def __init__(
        self,
        schema: pl.Schema,
        *,
        key: str,
        time: pl.Expr,
        counts: pl.Expr,
        sequence: Sequence,
        shares_ids: bool = False,
    ) -> None:
        self.key, self.time, self._counts, self._sequence = key, time, counts, sequence
        self._shares_ids = shares_ids
        self._columns = schema.names()
        self._empty = pl.LazyFrame(schema=schema).pipe(sequence).collect()
        self._rows = self._open = self._empty
        self._after: Position | None = None
        self._fresh: list[pl.DataFrame] = []
        self._last_of: pl.DataFrame | None = None
        self._last_ms: int | None = None

    def add(self, frame: pl.DataFrame) -> None:
        """Take rows of one more file, in any order; those of closed hours are left out."""
        if self._after is not None:
            frame = frame.filter(pl.col(self.key) >= self._after[0])
        if not frame.is_empty():
            self._fresh.append(frame.select(self._columns))

    def rows(self) -> pl.DataFrame:
        """Return all open rows, sequenced."""
        if self._fresh:
            merged = pl.concat([self._rows.select(self._columns), *self._fresh])
            self._rows, self._fresh = merged.lazy().pipe(self._sequence).collect(), []
            self._open = self._rows if self._after is None else self._rows.filter(self.is_behind(self._after))
        return self._open

    def take(self, end_ms: int) -> tuple[pl.DataFrame, int | None]:
        """Return the rows before `end_ms` and the id of the first later one; the rows stay."""
        rows = self.rows()
        later = rows.select((self._counts & (self.time >= end_ms)).arg_true().first()).item()
        return (rows, None) if later is None else (rows.head(later), int(rows[self.key][later]))

    def open_behind(self, position: Position | None) -> None:
        """Forget the rows of closed hours."""
        self.rows()
        self._after = position
        if position is not None:
            self._rows = self._rows.filter(pl.col(self.key) >= position[0])
            self._open = self._rows.filter(self.is_behind(position))

    def clear(self) -> None:
        """Forget all rows."""
        self._rows = self._open = self._empty
        self._after, self._fresh = None, []

    def is_behind(self, position: Position) -> pl.Expr:
        """Return whether a row stands behind a position."""
        number, recv_ns = position
        behind = pl.col(self.key) > number
        return behind | ((pl.col(self.key) == number) & (book.receipt_ns() > recv_ns)) if self._shares_ids else behind

    def position_of_last(self, rows: pl.DataFrame) -> Position | None:
        """Return the position of the last of some rows; None without rows."""
        if rows.is_empty():
            return None
        receipt = int(rows.tail(1).select(book.receipt_ns()).item()) if self._shares_ids else 0
        return int(rows[self.key][-1]), receipt

    def may_hold_open(self, last_id: int | None, position: Position | None) -> bool:
        """Return whether a file whose largest id is `last_id` may hold rows behind a position."""
        if last_id is None:
            return False
        return position is None or last_id > position[0] or (self._shares_ids and last_id == position[0])

    def first_ms(self) -> int | None:
        """Return the own time of the first open row, by id, whose time counts."""
        rows = self.rows()
        for some in (rows.head(16), rows):  # nearly always the very first row counts
            found: int | None = some.select(pl.when(self._counts).then(self.time).drop_nulls().first()).item()
            if found is not None:
                return found
        return None

    def last_ms(self) -> int | None:
        """Return the latest own time among the open rows that count."""
        rows = self.rows()
        if self._last_of is not rows:
            self._last_of = rows
            self._last_ms = rows.select(pl.when(self._counts).then(self.time).max()).item()
        return self._last_ms


def pending_trades() -> PendingRows:
    """Return an empty pool of trades."""
    admitted = pl.col("reject_reason").is_null()
    return PendingRows(
        trades.ROWS, key="trade_id", time=pl.col("traded_ms"), counts=admitted, sequence=trades.sequenced
    )


def pending_updates(levels: int, *, is_ticker: bool) -> PendingRows:
    """Return an empty pool of book updates."""
    always = pl.col("update_id").is_not_null()
    sequence = partial(book.sequenced, is_ticker=is_ticker)
    return PendingRows(
        book.rows_schema(levels),
        key="update_id",
        time=book.update_ms(),
        counts=always,
        sequence=sequence,
        shares_ids=is_ticker,
    )
