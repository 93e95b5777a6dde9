"""Trade ids that are missing: sorted ranges, looked up by bisection, since an outage may leave thousands of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

Range: TypeAlias = tuple[int, int]


@dataclass
class IdGap:
    """Ids `first..last` that were not seen, between two receipts.

    Attributes:
        due: monotonic second from which it is reported, and later asked for.
        reported: whether the ledger knows of it.
        empty: how often in a row the exchange had nothing from there on yet.
    """

    first: int
    last: int
    start_ns: int
    end_ns: int
    due: float = 0.0
    reported: bool = False
    empty: int = 0

    @property
    def missing(self) -> int:
        """The number of ids."""
        return self.last - self.first + 1


class IdGaps:
    """The open gaps of one stream; they never overlap."""

    def __init__(self, gaps: Iterable[IdGap] = ()) -> None:
        self._gaps: list[IdGap] = []
        self._firsts: list[int] = []
        for gap in gaps:
            self.add(gap)

    def __len__(self) -> int:
        return len(self._gaps)

    def __iter__(self) -> Iterator[IdGap]:
        return iter(self._gaps)

    @property
    def missing(self) -> int:
        """The number of ids in all gaps."""
        return sum(gap.missing for gap in self._gaps)

    def add(self, gap: IdGap) -> None:
        """Add a gap, or what of it is not in a known gap already."""
        first = gap.first
        for low, high in self.missing_in(gap.first, gap.last):
            self._insert(replace(gap, first=first, last=low - 1))
            first = high + 1
        self._insert(replace(gap, first=first))

    def fill(self, number: int) -> bool:
        """Take one id out; False if it is not missing."""
        index = bisect_right(self._firsts, number) - 1
        if index < 0 or self._gaps[index].last < number:
            return False
        self.remove(number, number)
        return True

    def remove(self, first: int, last: int) -> None:
        """Take the ids `first..last` out."""
        low, high = self._touching(first, last)
        kept = [
            replace(gap, first=begin, last=end)
            for gap in self._gaps[low:high]
            for begin, end in ((gap.first, min(gap.last, first - 1)), (max(gap.first, last + 1), gap.last))
            if begin <= end
        ]
        self._gaps[low:high] = kept
        self._firsts[low:high] = [gap.first for gap in kept]

    def missing_in(self, first: int, last: int) -> list[Range]:
        """Return the ranges within `first..last` that are missing."""
        return [(max(first, gap.first), min(last, gap.last)) for gap in self.overlapping(first, last)]

    def overlapping(self, first: int, last: int) -> list[IdGap]:
        """Return the gaps that have ids within `first..last`."""
        low, high = self._touching(first, last)
        return self._gaps[low:high]

    def newest_due(self, now: float) -> IdGap | None:
        """Return the newest gap that the ledger knows and that may be asked for now."""
        return next((gap for gap in reversed(self._gaps) if gap.reported and now >= gap.due), None)

    def unreported(self, now: float) -> list[IdGap]:
        """Return the gaps whose grace is over and that the ledger does not know."""
        return [gap for gap in self._gaps if not gap.reported and now >= gap.due]

    def _touching(self, first: int, last: int) -> Range:
        low = bisect_right(self._firsts, first) - 1
        if low < 0 or self._gaps[low].last < first:
            low += 1
        return low, max(low, bisect_right(self._firsts, last))

    def _insert(self, gap: IdGap) -> None:
        if gap.first <= gap.last:
            index = bisect_right(self._firsts, gap.first)
            self._gaps.insert(index, gap)
            self._firsts.insert(index, gap.first)


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Return inclusive ranges sorted, with those that overlap or touch made one."""
    out: list[Range] = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], last))
        else:
            out.append((first, last))
    return out
