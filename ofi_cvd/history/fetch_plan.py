"""Which files of the venue's archive a span of days needs; decided without a connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final

from ofi_cvd.binance.archive import DATA_SETS, ArchiveName, month_after
from ofi_cvd.binance.wire import Market
from ofi_cvd.errors import UsageError

PUBLISHED_AFTER: Final = timedelta(days=3)
"""A file that is missing this long after its last day is missing; before, it is not published yet."""


def plan_files(
    symbols: Sequence[str],
    data_sets: Sequence[str],
    start: date,
    end: date,
    *,
    market: Market,
    today: date,
    daily: bool = False,
) -> list[ArchiveName]:
    """Return the files that hold the days `[start, end)`: whole past months as one file each, other days as daily files.

    Args:
        symbols: the symbols.
        data_sets: aggTrades, trades, bookTicker.
        start: the first UTC date.
        end: the date after the last; days that are not over yet are left out.
        market: the market.
        today: the UTC date of today.
        daily: take daily files only.

    Raises:
        UsageError: no day, or a set that the archive of the market does not have.
    """
    for name in data_sets:
        if name not in DATA_SETS or (market == "spot" and name == "bookTicker"):
            sets = "aggTrades, trades" if market == "spot" else ", ".join(DATA_SETS)
            raise UsageError(f"--data: expected {sets}, found {name!r}")
    if start >= end:
        raise UsageError(f"expected a first day before the end {end}, found {start}")
    spans = list(_spans(start, min(end, today), daily=daily))
    if not spans:
        raise UsageError(f"expected days that are over, found {start} and later (today is {today}, UTC)")
    return [
        ArchiveName(symbol, kind, first, after)  # type: ignore[arg-type]  # looked at above
        for symbol in symbols
        for kind in data_sets
        for first, after in spans
    ]


def days_of(name: ArchiveName) -> list[ArchiveName]:
    """Return the daily files that hold what a monthly one does."""
    count = (name.end - name.start).days
    days = [name.start + timedelta(days=n) for n in range(count)]
    return [ArchiveName(name.symbol, name.data_set, day, day + timedelta(days=1)) for day in days]


def is_due(name: ArchiveName, today: date) -> bool:
    """Return whether a file should have been published by now."""
    return today - name.end >= PUBLISHED_AFTER


def _spans(start: date, end: date, *, daily: bool) -> Iterator[tuple[date, date]]:
    day = start
    while day < end:
        after = month_after(day)
        if daily or day.day != 1 or after > end:
            after = day + timedelta(days=1)
        yield day, after
        day = after
