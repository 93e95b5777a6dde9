"""A book kept from its changes, as the exchange has it: what REST shows, also as it was a while ago, and slower diffs.

A whole book opens it; changes lead on from there. Quantities are absolute and 0 deletes. A source that skips an
update closes the book until the next whole one: the exchange shows no book that it cannot vouch for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from ofi_cvd.exchange.bookstate import BookChange, BookState, Levels

KEEP_MS = 60_000
"""How far back the book can still be shown."""


@dataclass(slots=True)
class FullBook:
    """The full book of one symbol.

    Attributes:
        before: the book as it stood before `recent`; None while no whole book is known.
        recent: the newest changes, oldest first, of the last minute.
    """

    before: BookState | None = None
    recent: deque[BookChange] = field(default_factory=deque)

    @property
    def last(self) -> BookChange | None:
        """The newest change; None before the first."""
        return self.recent[-1] if self.recent else None

    def open(self, book: BookState) -> None:
        """Take a whole book; changes that it already contains are forgotten."""
        self.before = book
        while self.recent and self.recent[0].update_id <= book.update_id:
            self.recent.popleft()

    def apply(self, change: BookChange) -> bool:
        """Take the next change; return whether it is new. One that does not follow closes the book."""
        last_id = self.recent[-1].update_id if self.recent else self.before.update_id if self.before else None
        if last_id is not None and change.update_id <= last_id:
            return False
        if last_id is not None and change.previous_id is not None and change.previous_id > last_id:
            self.before, self.recent = None, deque()
        self.recent.append(change)
        while self.recent[0].event_ms < change.event_ms - KEEP_MS:
            oldest = self.recent.popleft()
            self.before = _changed(self.before, [oldest]) if self.before else None
        return True

    def state(self, *, age_ms: int = 0) -> BookState | None:
        """Return the book as it was `age_ms` before the newest change (at most a minute); None while it is closed."""
        if self.before is None or not self.recent:
            return self.before
        until_ms = self.recent[-1].event_ms - age_ms
        return _changed(self.before, [change for change in self.recent if change.event_ms <= until_ms])


@dataclass(slots=True)
class DiffMerger:
    """A slower diff stream: the changes of a period in one event, whose `pu` chains within the stream.

    Attributes:
        period_ms: one event for every so many milliseconds of the exchange's clock.
        waiting: changes not sent yet.
    """

    period_ms: int
    waiting: list[BookChange] = field(default_factory=list)
    last_period: int | None = None
    previous_id: int | None = None

    def add(self, change: BookChange) -> BookChange | None:
        """Take a change; return the event that is due, None where there is none."""
        self.waiting.append(change)
        period = change.event_ms // self.period_ms
        if period == self.last_period:
            return None
        self.last_period = period
        first, last = self.waiting[0], self.waiting[-1]
        previous_id = first.previous_id if self.previous_id is None else self.previous_id
        merged = BookChange(
            symbol=last.symbol,
            event_ms=last.event_ms,
            time_ms=last.time_ms,
            update_id=last.update_id,
            first_id=(first.first_id if previous_id is None else previous_id + 1),
            previous_id=previous_id,
            bids=_latest(change.bids for change in self.waiting),
            asks=_latest(change.asks for change in self.waiting),
        )
        self.waiting, self.previous_id = [], last.update_id
        return merged


def _latest(changes: Iterable[Levels]) -> Levels:
    """Return the last quantity of every price that changed."""
    sizes: dict[str, str] = {}
    for levels in changes:
        sizes.update(levels)
    return list(sizes.items())


def _changed(book: BookState, changes: Iterable[BookChange]) -> BookState:
    bids, asks = dict(book.bids), dict(book.asks)
    ids = (book.event_ms, book.time_ms, book.update_id)
    for change in changes:
        for side, levels in ((bids, change.bids), (asks, change.asks)):
            for price, size in levels:
                if Decimal(size):
                    side[price] = size
                else:
                    side.pop(price, None)
        ids = (change.event_ms, change.time_ms, change.update_id)
    ranked = [sorted(side.items(), key=_price, reverse=side is bids) for side in (bids, asks)]
    return BookState(book.symbol, *ids, bids=ranked[0], asks=ranked[1])


def _price(level: tuple[str, str]) -> Decimal:
    return Decimal(level[0])
