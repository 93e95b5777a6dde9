"""What an hour was built from, beside its own rows: the list whose change makes the hour due.

The list names the ids the hour opens and closes with, up to where its time was known, and every outage and id gap that
reaches into it, each with its ids and whether it is open. Outages and gaps are facts of the whole spool: a trade that
is repaired in one hour closes an outage for the hour before it, too. So the list is derived from all that is known.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from ofi_cvd.common.times import HOUR_MS, hour_of
from ofi_cvd.features.gaps import IdGap, LedgerGap, Span

Position: TypeAlias = tuple[int, int]
"""A row's place in its stream: its id, and its receipt in ns where rows share an id (0 where they cannot)."""

NEVER_MS: Final = 2**62  # the time of a trade that is not there


class KnownHour(Protocol):
    """What the checkpoint knows of an hour, as far as other hours are built from it."""

    @property
    def first_trade_ms(self) -> int | None:
        """Time of its first admitted trade."""

    @property
    def id_gaps(self) -> Sequence[IdGap]:
        """Trade ids never seen just before one of its rows."""

    @property
    def state_digest(self) -> str:
        """SHA-256 of the state that opens the next hour."""

    @property
    def trades_to(self) -> Position | None:
        """Position of the last trade up to its end."""

    @property
    def updates_to(self) -> Position | None:
        """Position of the last book row up to its end."""


class Influence(msgspec.Struct, frozen=True, order=True, array_like=True):
    """An outage or an id gap, as hours feel it.

    Attributes:
        start_ms, end_ms: from the last row before to the first row after.
        what: the outage of a stream as the ledger says, or ids of trades never seen.
        first, last: the ids missing, where they are known.
        is_open: whether it counts; an outage of trades whose ids are all there is closed.
    """

    start_ms: int
    end_ms: int
    what: Literal["book_outage", "id_gap", "trade_outage"]
    first: int = -1
    last: int = -1
    is_open: bool = True

    @property
    def span(self) -> Span:
        """The time without the stream."""
        return Span(self.start_ms, self.end_ms)


class Basis(msgspec.Struct, frozen=True, array_like=True):
    """What an hour was built from.

    Attributes:
        opening: digest of the state it opens with.
        trades_from, trades_to: positions of the last trade before the hour and of its own last; None before the first.
        updates_from, updates_to: the same of the book.
        until_ms: up to where events are known, at most the end of the hour.
        influences: outages and id gaps that reach into it.
    """

    opening: str = ""
    trades_from: Position | None = None
    trades_to: Position | None = None
    updates_from: Position | None = None
    updates_to: Position | None = None
    until_ms: int = 0
    influences: tuple[Influence, ...] = ()


@dataclass(frozen=True)
class LedgerGaps:
    """The `gap` records of the two streams a dataset is built from."""

    trades: Sequence[LedgerGap] = ()
    books: Sequence[LedgerGap] = ()


@dataclass(frozen=True)
class Influences:
    """All outages and id gaps known of a symbol, and which of them reach into an hour.

    Args:
        known: each once.
        reach_ms: how long after its end one is felt.
    """

    known: Sequence[Influence] = ()
    reach_ms: int = 0
    _by_hour: dict[int, list[Influence]] = field(default_factory=dict)
    _unbounded: list[Influence] = field(default_factory=list)

    def __post_init__(self) -> None:
        for one in sorted(set(self.known)):
            if one.end_ms == NEVER_MS or one.start_ms == -NEVER_MS:
                self._unbounded.append(one)
                continue
            for hour_ms in range(hour_of(one.start_ms), one.end_ms + self.reach_ms + 1, HOUR_MS):
                self._by_hour.setdefault(hour_ms, []).append(one)

    def on(self, hour_ms: int) -> tuple[Influence, ...]:
        """Return what intersects [start - reach, end) of an hour, sorted."""
        found = self._by_hour.get(hour_ms, [])
        far = [one for one in self._unbounded if one.start_ms < hour_ms + HOUR_MS]
        far = [one for one in far if one.end_ms >= hour_ms - self.reach_ms]
        return tuple(sorted([*found, *far]) if far else found)

    def hours_changed_since(self, other: Influences, hours: Iterable[int]) -> set[int]:
        """Return the hours, out of some, whose list is not what it was."""
        if list(self.known) == list(other.known):
            return set()
        return {hour_ms for hour_ms in hours if self.on(hour_ms) != other.on(hour_ms)}


def influences(ledger: LedgerGaps, gaps: Sequence[IdGap], seen_ids: tuple[int, int], reach_ms: int) -> Influences:
    """Return what reaches into hours, from the ledger's gaps, the id gaps and the first and last id seen anywhere."""
    ordered = sorted(set(gaps), key=lambda gap: (gap.first, gap.last))
    found = [Influence(gap.before_ms, gap.after_ms, "id_gap", gap.first, gap.last) for gap in ordered]
    found += [
        Influence(one.start_ms, one.end_ms, "trade_outage", *_ids(one), is_open=_is_open(one, ordered, seen_ids))
        for one in ledger.trades
    ]
    found += [Influence(one.start_ms, one.end_ms, "book_outage", *_ids(one)) for one in ledger.books]
    return Influences(found, reach_ms)


def id_gaps(hours: Mapping[int, KnownHour], ahead: Iterable[IdGap]) -> list[IdGap]:
    """Return the id gaps of all hours and those seen behind the last; a gap without a trade after it ends at the next."""
    found: list[IdGap] = []
    pending: list[IdGap] = []
    for hour_ms in sorted(hours):
        hour = hours[hour_ms]
        if hour.first_trade_ms is not None:
            found += [IdGap(gap.first, gap.last, gap.before_ms, hour.first_trade_ms) for gap in pending]
            pending = []
        for gap in hour.id_gaps:
            (pending if gap.after_ms == NEVER_MS else found).append(gap)
    return [*found, *pending, *ahead]


def basis(
    hour_ms: int, hours: Mapping[int, KnownHour], reaching: Influences, last_event_ms: int, ends: KnownHour
) -> Basis:
    """Return what an hour that closes as `ends` says is built from, by what is known now."""
    before = hours.get(hour_ms - HOUR_MS)
    return Basis(
        opening=before.state_digest if before else "",
        trades_from=before.trades_to if before else None,
        trades_to=ends.trades_to,
        updates_from=before.updates_to if before else None,
        updates_to=ends.updates_to,
        until_ms=min(hour_ms + HOUR_MS, last_event_ms),
        influences=reaching.on(hour_ms),
    )


def _ids(gap: LedgerGap) -> tuple[int, int]:
    return (
        -1 if gap.expected is None else gap.expected,
        -1 if gap.received is None else gap.received - 1,
    )


def _is_open(outage: LedgerGap, gaps: Sequence[IdGap], seen_ids: tuple[int, int]) -> bool:
    """Return whether ids are missing in an outage; `gaps` are in the order of their ids, and so of their times.

    An outage that names no ids is open where the trades around a gap reach into it.
    """
    if outage.expected is None or outage.received is None:
        at = bisect_left(gaps, outage.start_ms, key=lambda gap: gap.after_ms)
        return at < len(gaps) and gaps[at].before_ms <= outage.end_ms
    if outage.expected >= outage.received:
        return False
    if outage.expected < seen_ids[0] or outage.received - 1 > seen_ids[1]:
        return True
    at = bisect_left(gaps, outage.expected, key=lambda gap: gap.last)
    return at < len(gaps) and gaps[at].first < outage.received
