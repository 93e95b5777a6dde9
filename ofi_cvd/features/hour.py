"""The UTC hour of one symbol, the canonical unit of work: what its tables and its closing state are computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ofi_cvd.common.times import DAY_MS, HOUR_MS
from ofi_cvd.features.carry import CarryState
from ofi_cvd.features.gaps import Span


@dataclass(frozen=True)
class Hour:
    """What an hour is computed from.

    Attributes:
        symbol: the symbol.
        start_ms: first millisecond of the hour.
        trade_rows: its sequenced trade rows, admitted or not (see `trades.sequenced`).
        book_rows: its sequenced book rows (see `book.sequenced`).
        opening: what the hour before left.
        trade_outages: unrepaired outages of the trade stream that may touch the hour's rows.
        book_outages: outages of the book stream that may touch them.
        first_trade_ms: time of the symbol's first trade, None before it.
        last_event_ms: time of the last event known of the symbol, in this hour or later.
        levels: levels of the book source that carry a weight.
    """

    symbol: str
    start_ms: int
    trade_rows: pl.DataFrame
    book_rows: pl.DataFrame
    opening: CarryState
    trade_outages: Sequence[Span]
    book_outages: Sequence[Span]
    first_trade_ms: int | None
    last_event_ms: int
    levels: int

    @property
    def end_ms(self) -> int:
        """First millisecond after the hour."""
        return self.start_ms + HOUR_MS

    @property
    def grid_start_ms(self) -> int:
        """The symbol's first grid second; the end of the hour where it has not begun."""
        return self.end_ms if self.first_trade_ms is None else -(-self.first_trade_ms // 1000) * 1000

    @property
    def grid_end_ms(self) -> int:
        """The grid second after the hour's last."""
        return min(self.end_ms, -(-self.last_event_ms // 1000) * 1000 + 1000)

    @property
    def begins_day(self) -> bool:
        """Whether a UTC day begins with this hour."""
        return self.start_ms % DAY_MS == 0

    def within(self, instants_ms: Sequence[int]) -> list[int]:
        """Return the instants that lie in the hour."""
        return [instant for instant in instants_ms if self.start_ms <= instant < self.end_ms]

    def own(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Return the rows of the hour itself, without those carried in front of them or known for the next."""
        return frame.filter(pl.col("ts_ms").is_between(self.start_ms, self.end_ms, closed="left"))
