"""Unrepaired gaps, breaks and outages: which ledger gaps count, and which rows are `suspect`.

See docs/specification/trades.md#outages, docs/specification/tables.md#suspect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from ofi_cvd.features.epochs import UNKNOWN, Opening, key_at


@dataclass(frozen=True, order=True)
class Span:
    """An outage `[start_ms, end_ms]` in receipt time: the last receipt before, the first after."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, order=True)
class LedgerGap:
    """A `gap` record of the ledger for one stream; `expected` and `received` are ids, None where unknown."""

    start_ms: int
    end_ms: int
    expected: int | None = None
    received: int | None = None

    @property
    def span(self) -> Span:
        """The time no connection carried the stream."""
        return Span(self.start_ms, self.end_ms)


@dataclass(frozen=True)
class IdGap:
    """Ids `first..last` never seen, between a trade at `before_ms` and one at `after_ms`."""

    first: int
    last: int
    before_ms: int
    after_ms: int

    @property
    def missing(self) -> int:
        """How many ids are missing; 1 where the ids began anew, since nobody knows."""
        count = self.last - self.first + 1
        return count if count < UNKNOWN else 1


def ledger_gaps(records: Iterable[Mapping[str, object]], symbol: str, stream: str) -> list[LedgerGap]:
    """Return the usable `gap` records of one stream of a symbol, sorted, each once."""
    names = {stream, f"{symbol.lower()}@{stream}"}
    found = set()
    for record in records:
        if record.get("event") != "gap" or record.get("symbol") != symbol or record.get("stream") not in names:
            continue
        start, end = _int(record.get("start_ms")), _int(record.get("end_ms"))
        if start is not None and end is not None and start <= end:
            found.add(LedgerGap(start, end, _int(record.get("expected")), _int(record.get("received"))))
    return sorted(found, key=lambda gap: (gap.start_ms, gap.end_ms, gap.expected or 0, gap.received or 0))


def keyed(gap: LedgerGap, openings: Sequence[Opening]) -> LedgerGap:
    """Return a gap whose ids are keys: of the epoch of its beginning, or of both its ends where the ids fall between."""
    if gap.expected is None or gap.received is None:
        return gap
    received_ms = gap.start_ms if gap.expected < gap.received else gap.end_ms
    expected, received = key_at(gap.expected, gap.start_ms, openings), key_at(gap.received, received_ms, openings)
    return LedgerGap(gap.start_ms, gap.end_ms, expected, received)


def unrepaired(gaps: Sequence[LedgerGap], holes: Sequence[IdGap], first_seen: int, last_seen: int) -> list[Span]:
    """Return the trade outages whose ids do not prove contiguous: those with a hole among the ids they name.

    A gap that names no ids counts where a hole's neighbours reach into it.
    """
    return sorted({gap.span for gap in gaps if _is_open(gap, holes, first_seen, last_seen)})


def with_suspect(table: pl.LazyFrame, breaks: pl.LazyFrame, win_secs: int) -> pl.LazyFrame:
    """Return a time-sorted table with `suspect`: something ended in `(t - WIN_SECS, t]`."""
    ends = breaks.select(pl.col("end_ms").unique().sort())
    return table.join_asof(
        ends.with_columns(broken_ms="end_ms"), left_on="ts_ms", right_on="end_ms", strategy="backward", coalesce=True
    ).with_columns(suspect=(pl.col("ts_ms") - pl.col("broken_ms") < win_secs * 1000).fill_null(value=False))


def _is_open(gap: LedgerGap, holes: Sequence[IdGap], first_seen: int, last_seen: int) -> bool:
    if gap.expected is None or gap.received is None:
        return any(hole.before_ms <= gap.end_ms and hole.after_ms >= gap.start_ms for hole in holes)
    if gap.expected >= gap.received:
        return False
    outside = gap.expected < first_seen or gap.received - 1 > last_seen
    return outside or any(hole.first < gap.received and hole.last >= gap.expected for hole in holes)


def _int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
