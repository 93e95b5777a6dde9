"""Which hours rows belong to that were not there when the hours were built."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.publish.checkpoint import HourEntry, SymbolEntry
from ofi_cvd.publish.spool_source import Late


def hours_of_late(hours: Mapping[int, HourEntry], late: Late) -> set[int]:
    """Return the hours that late rows may belong to, by their ids and times.

    A row between two ids of one hour lies in that hour. One between the last id of an hour and the first of a later one
    lies in either of them or, by its own time, in a silent hour between.
    """
    ends = [(at, *_ids(hour, is_trade=late.is_trade)) for at, hour in sorted(hours.items())]
    ends = [(at, first, last) for at, first, last in ends if last is not None]
    lasts = pl.Series([last for _, _, last in ends], dtype=pl.Int64)
    rows = pl.DataFrame(
        {
            "place": lasts.search_sorted(late.ids, side="left"),
            "id": late.ids,
            "hour_ms": late.times_ms // HOUR_MS * HOUR_MS,
        }
    )
    firsts = [first for _, first, _ in ends]
    found: set[int] = set()
    # Of the rows of one place only the first by id can lie before the hour's own first id.
    for place, first_id, times in (
        rows.group_by("place").agg(pl.col("id").min(), pl.col("hour_ms").unique()).iter_rows()
    ):
        here = min(place, len(ends) - 1)
        found.add(ends[here][0])
        first = firsts[here]
        if here == 0 or (first is not None and first_id >= first):
            continue
        before = ends[int(lasts.search_sorted(lasts[here - 1], side="left"))][0]
        found |= {before, *(min(max(at, before), ends[here][0]) for at in times)} & hours.keys()
    return found


def keep(entry: SymbolEntry, hour_ms: int, others: Collection[int]) -> set[int]:
    """Leave an hour as it is, others, and the late ones behind it; return the latter."""
    hours, behind = entry.hours, set[int]()
    while (at := hour_ms + HOUR_MS * (len(behind) + 1)) in entry.late:
        behind.add(at)
    for at in {hour_ms, *others, *behind} & hours.keys():
        hours[at].is_kept = True
    entry.late = [at for at in entry.late if at in hours and not hours[at].is_kept]
    return behind


def _ids(hour: HourEntry, *, is_trade: bool) -> tuple[int | None, int | None]:
    first, last = (hour.trades_from_id, hour.trades_to) if is_trade else (hour.updates_from_id, hour.updates_to)
    return first, last[0] if last else None
