"""What is known to be missing: outages of the ledger, and the rows they make suspect."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from .trades import Hole


@dataclass(frozen=True)
class Outage:
    """A time, by the recorder's clock, in which no connection carried a stream."""

    start_ms: int
    end_ms: int
    expected: int | None
    received: int | None


def ledger_outages(ledger: Iterable[Mapping[str, object]], symbol: str, stream: str) -> list[Outage]:
    """Return the `gap` records of one stream of one symbol, in order of their ends."""
    names = (stream, f"{symbol.lower()}@{stream}")
    out = set()
    for record in ledger:
        if record.get("event") != "gap" or record.get("symbol") != symbol or record.get("stream") not in names:
            continue
        start_ms, end_ms = _int(record.get("start_ms")), _int(record.get("end_ms"))
        if start_ms is not None and end_ms is not None and start_ms <= end_ms:
            out.add(Outage(start_ms, end_ms, _int(record.get("expected")), _int(record.get("received"))))
    return sorted(out, key=lambda outage: (outage.end_ms, outage.start_ms))


def _int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def is_unrepaired(outage: Outage, seen: Sequence[int], holes: Iterable[Hole]) -> bool:
    """Return whether trades are still missing: by the ids it names, else by the holes around its time."""
    if outage.expected is not None and outage.received is not None:
        wanted = max(0, outage.received - outage.expected)
        found = bisect_right(seen, outage.received - 1) - bisect_right(seen, outage.expected - 1)
        return found < wanted
    return any(
        (hole.last_ms is None or hole.last_ms <= outage.end_ms)
        and (hole.next_ms is None or hole.next_ms >= outage.start_ms)
        for hole in holes
    )


@dataclass(frozen=True)
class Trouble:
    """Everything unrepaired of one symbol."""

    trade_outages: tuple[Outage, ...]
    book_outages: tuple[Outage, ...]
    trade_gap_ends: tuple[int, ...]
    book_break_ends: tuple[int, ...]
    win_ms: int

    @cached_property
    def ends(self) -> list[int]:
        """Return when each trouble ended, sorted."""
        outages = (*self.trade_outages, *self.book_outages)
        return sorted((*self.trade_gap_ends, *self.book_break_ends, *(outage.end_ms for outage in outages)))

    def suspect(self, x: int) -> bool:
        """Return whether anything unrepaired ended within `(x - WIN_SECS, x]`."""
        return bisect_right(self.ends, x) > bisect_right(self.ends, x - self.win_ms)

    def trades_lost_before(self, t: int) -> bool:
        """Return whether an unrepaired trade outage ended within `(t - WIN_SECS, t]`: labels are null."""
        return any(t - self.win_ms < outage.end_ms <= t for outage in self.trade_outages)

    def trades_lost_between(self, after: int, until: int) -> bool:
        """Return whether an unrepaired trade outage overlaps `(after, until]`."""
        return overlaps(self.trade_outages, after, until)

    def anything_lost_between(self, after: int, until: int) -> bool:
        """Return whether an outage overlaps `(after, until]`, or an unrepaired trade gap ended in it."""
        outages = (*self.trade_outages, *self.book_outages)
        return overlaps(outages, after, until) or any(after < end <= until for end in self.trade_gap_ends)


def overlaps(outages: Iterable[Outage], after: int, until: int) -> bool:
    """Return whether one of the outages overlaps the time `(after, until]`."""
    return any(outage.start_ms < until and outage.end_ms > after for outage in outages)
