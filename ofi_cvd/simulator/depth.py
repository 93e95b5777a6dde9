"""The full book of the simulated market: every change of it as a diff stream, and the whole of it as a snapshot.

The book has `FULL_DEPTH` levels a side, more than a snapshot of the exchange shows, so that what lies behind
the window of a snapshot is really unknown to a client until it is touched. Its first twenty levels are those of
`depth20@100ms`, under the same update ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ofi_cvd.simulator.arrivals import MAX_LOTS
from ofi_cvd.simulator.text import grid_texts, size_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ofi_cvd.simulator.blocks import Book, Ints
    from ofi_cvd.simulator.depth_model import DepthModel
    from ofi_cvd.simulator.instruments import Instrument

FULL_DEPTH: Final = 1200
"""Levels a side that the simulated market has."""

_CHUNK_ROWS: Final = 128  # rows whose whole books are held at once


class Changes(NamedTuple):
    """Changed levels of one side: the row of the book each belongs to, ascending, its tick, its size now (0: gone)."""

    row: Ints
    tick: Ints
    lots: Ints


@dataclass(slots=True)
class SideBook:
    """One side as it stands after the last row seen; ascending ticks.

    Attributes:
        ticks: occupied ticks; empty before the first row.
        lots: what rests there.
    """

    ticks: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    lots: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def advance(self, ticks: Ints, lots: Ints) -> Changes:
        """Take whole books, rows by levels; return what changed from each to the next. The first is all new.

        A level at a tick below 1 cannot be: the book of a cheap instrument is shorter.
        """
        ticks = np.maximum(ticks, 0)
        low = int(min(ticks.min(), self.ticks.min() if self.ticks.size else ticks.min()))
        high = int(max(ticks.max(), self.ticks.max() if self.ticks.size else ticks.max()))
        # A dense table of (row, tick) turns the difference of two books into one comparison of arrays.
        dense = np.zeros((ticks.shape[0] + 1, high - low + 1), dtype=np.int64)
        dense[0, self.ticks - low] = self.lots
        np.put_along_axis(dense[1:], ticks - low, lots, axis=1)
        if low == 0:
            dense[:, 0] = 0
        row, place = np.nonzero(dense[1:] != dense[:-1])
        standing = np.flatnonzero(dense[-1])
        self.ticks, self.lots = standing + low, dense[-1, standing]
        return Changes(row, place + low, dense[row + 1, place])


@dataclass(slots=True)
class FullBook:
    """Both sides of the full book of one symbol, carried from block to block."""

    bids: SideBook = field(default_factory=SideBook)
    asks: SideBook = field(default_factory=SideBook)

    def diffs(self, book: Book, resting: DepthModel, spec: Instrument) -> tuple[list[bytes], list[bytes]]:
        """Return for every row of `book` the JSON levels that changed on each side, without the brackets around them."""
        bids: list[bytes] = []
        asks: list[bytes] = []
        for rows in _chunks(book.step.size):
            step = book.step[rows]
            bid = resting.side(book.after.bid[rows], book.after.bid_lots[rows], step, FULL_DEPTH, ask=False)
            ask = resting.side(book.after.ask[rows], book.after.ask_lots[rows], step, FULL_DEPTH, ask=True)
            bids += level_texts(self.bids.advance(bid.ticks, bid.lots), step.size, spec)
            asks += level_texts(self.asks.advance(ask.ticks, ask.lots), step.size, spec)
        return bids, asks


def snapshot_levels(book: Book, row: int, limit: int, resting: DepthModel, spec: Instrument) -> tuple[bytes, bytes]:
    """Return the best `limit` levels of each side after one row of `book`, as JSON levels without the brackets."""
    rows, sides = slice(row, row + 1), []
    for touch, lots, ask in ((book.after.bid, book.after.bid_lots, False), (book.after.ask, book.after.ask_lots, True)):
        side = resting.side(touch[rows], lots[rows], book.step[rows], limit, ask=ask)
        there = side.ticks[0] > 0
        changes = Changes(np.zeros(int(there.sum()), dtype=np.int64), side.ticks[0][there], side.lots[0][there])
        sides += level_texts(changes, 1, spec)
    return sides[0], sides[1]


def level_texts(changes: Changes, rows: int, spec: Instrument) -> list[bytes]:
    """Return for each of `rows` rows its levels as `["price","size"],...`; empty for a row without any."""
    prices = grid_texts(changes.tick, spec.tick_units, spec.price_decimals).tolist()
    sizes = size_table(MAX_LOTS, spec.lot_units, spec.qty_decimals).take(changes.lots).tolist()
    levels = [b'["%b","%b"]' % pair for pair in zip(prices, sizes, strict=True)]
    edges = np.searchsorted(changes.row, np.arange(rows + 1)).tolist()
    return [b",".join(levels[first:stop]).translate(None, b"\0") for first, stop in pairwise(edges)]


def _chunks(rows: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK_ROWS) for start in range(0, rows, _CHUNK_ROWS))
