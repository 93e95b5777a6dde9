"""One stream of one symbol across all connections: what was seen, what repeats, what is missing. No clock, no socket.

Trade ids grow by one, so a jump is a hole that can be named. Futures books chain by `pu`. Best quotes and spot books
carry no chain: there a time without a connection is the hole (SPEC sections 3 and 4, PROTOCOL 4).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ofi_cvd.binance.keys import Id, Key
from ofi_cvd.collect.stats import StreamStats

GRACE_S = 1.0  # a missing id may still arrive on the other connection, or out of order
REBASE_AFTER = 50  # so many frames in a row far below the newest id: the venue has begun anew
RATE_MEMORY_S = 300.0
RATE_MIN_FRAMES = 20
QUIET_FACTOR = 20.0  # a Poisson stream is silent for 20 mean gaps once in 10^8 gaps
LONGEST_SILENCE_S = 1800.0


@dataclass
class Hole:
    """Ids `first..last` that were not seen, between two receipts.

    Attributes:
        due: monotonic second from which it is taken for real.
        fetching: whether a repair is under way.
        reported: whether the ledger knows of it.
    """

    first: int
    last: int
    start_ns: int
    end_ns: int
    due: float
    fetching: bool = False
    reported: bool = False

    @property
    def missing(self) -> int:
        """The number of ids."""
        return self.last - self.first + 1


@dataclass
class Break:
    """A book's hole: nothing is known of it but its ends; `previous` is the chain's missing link, if it has one."""

    expected: int | None
    previous: int | None
    start_ns: int
    end_ns: int
    due: float


@dataclass
class Dropped:
    """Frames lost on our side since the last report, as inclusive ranges of their ids."""

    count: int = 0
    ranges: list[list[int]] = field(default_factory=list)

    def add(self, number: int) -> None:
        """Count one frame."""
        self.count += 1
        if self.ranges and self.ranges[-1][0] <= number <= self.ranges[-1][1] + 1:
            self.ranges[-1][1] = max(self.ranges[-1][1], number)
        else:
            self.ranges.append([number, number])


class Track:
    """The identity of one stream; see the module.

    Attributes:
        holes: of trade ids, open.
        breaks: of the book, not yet reported.
        dropped: frames lost on our side, not yet reported.
        last_ns: the last stored receipt; 0 before the first.
        strikes: how often in a row the stream was found silent.
    """

    def __init__(self, symbol: str, stream: str, lru: int, stats: StreamStats) -> None:
        self.symbol, self.stream, self.stats = symbol, stream, stats
        self.is_trade = stream in ("aggTrade", "trade")
        self.holes: list[Hole] = []
        self.breaks: list[Break] = []
        self.dropped = Dropped()
        self.last_ns = 0
        self.strikes = 0
        self._lru = lru
        self._seen: OrderedDict[Id, None] = OrderedDict()
        self._last: int | None = None
        self._lost = False
        self._backwards = 0
        self._frames = self._seconds = 0.0
        self._counted, self._counted_at = 0, 0.0

    @property
    def newest(self) -> int:
        """The newest id; 0 before the first."""
        return self._last or 0

    def accept(self, key: Key, recv_ns: int, now: float) -> bool:
        """Take one frame's key; False if this id was seen before, on whatever connection: an exact repetition."""
        seen = self._seen
        if key.id in seen:
            seen.move_to_end(key.id)
            self.stats.duplicates += 1
            return False
        seen[key.id] = None
        if len(seen) > self._lru:
            seen.popitem(last=False)
        number, last = key.number, self._last
        if last is None:
            self._last = number
        elif self.is_trade:
            if number == last + 1:
                self._last, self._backwards = number, 0
            else:
                self._trade_out_of_step(number, last, recv_ns, now)
        elif number < last:
            self._late(number, recv_ns, now)
        else:
            if key.previous != last:
                self._book_out_of_step(key.previous, last, recv_ns, now)
            self._last, self._backwards, self._lost = number, 0, False
        self.last_ns = recv_ns
        self.stats.received += 1
        return True

    def drop(self, key: Key | None) -> None:
        """Count a frame that could not be stored; its id stays unseen, so that the next frame finds the hole."""
        if key is None:
            self.dropped.count += 1
        elif key.id in self._seen:
            self.stats.duplicates += 1
            return
        else:
            self.dropped.add(key.number)
        self.stats.dropped += 1
        self._lost = True

    def lose(self) -> None:
        """Note that no connection carries the stream any more."""
        self._lost = True

    def resume(self, last: int | None, last_ns: int, recent: Iterable[Id], holes: Iterable[Hole]) -> None:
        """Continue where the spool ends: the last id, its receipt, the newest ids, holes still open."""
        self._last, self.last_ns, self._lost = last, last_ns, last_ns > 0
        for key in recent:
            self._seen[key] = None
        while len(self._seen) > self._lru:
            self._seen.popitem(last=False)
        self.holes = list(holes)

    def due_holes(self, now: float) -> list[Hole]:
        """Return the holes whose grace is over and that nobody fetches yet, and mark them."""
        due = [hole for hole in self.holes if not hole.fetching and now >= hole.due]
        for hole in due:
            hole.fetching = True
        return due

    def due_breaks(self, now: float) -> list[Break]:
        """Return the breaks whose missing link did not arrive in time after all."""
        due = [gap for gap in self.breaks if now >= gap.due]
        self.breaks = [gap for gap in self.breaks if now < gap.due]
        return [gap for gap in due if gap.previous is None or gap.previous not in self._seen]

    def repair(self, number: int) -> bool:
        """Take a fetched trade id; False if it is not missing (any more)."""
        if number in self._seen or not self._fill(number):
            return False
        self._seen[number] = None
        if len(self._seen) > self._lru:
            self._seen.popitem(last=False)
        return True

    def missing_in(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return the ranges within `first..last` that are still missing."""
        parts = ((max(first, hole.first), min(last, hole.last)) for hole in self.holes)
        return sorted((low, high) for low, high in parts if low <= high)

    def forget(self, first: int, last: int) -> None:
        """Give up the ids `first..last`."""
        kept = []
        for hole in self.holes:
            if hole.last < first or hole.first > last:
                kept.append(hole)
                continue
            kept += [
                replace(hole, first=low, last=high)
                for low, high in ((hole.first, first - 1), (last + 1, hole.last))
                if low <= high
            ]
        self.holes = kept

    def retry(self, first: int, last: int, due: float) -> None:
        """Try the holes within `first..last` again at monotonic second `due`."""
        for hole in self.holes:
            if first <= hole.first and hole.last <= last:
                hole.fetching, hole.due = False, due

    def observe(self, now: float) -> None:
        """Update the stream's own rate; a silence enters it only when it has ended."""
        new = self.stats.received - self._counted
        if not self._counted_at:
            self._counted, self._counted_at = self.stats.received, now
        elif new:
            elapsed = now - self._counted_at
            fade = math.exp(-elapsed / RATE_MEMORY_S)
            self._frames, self._seconds = self._frames * fade + new, self._seconds * fade + elapsed
            self._counted, self._counted_at = self.stats.received, now

    def silence_limit(self, fast_s: float) -> float:
        """Return after how many silent seconds the stream is suspect: `fast_s`, or more if it is slow by nature."""
        if self._frames < RATE_MIN_FRAMES:
            return min(4 * fast_s, LONGEST_SILENCE_S)
        return min(max(fast_s, QUIET_FACTOR * self._seconds / self._frames), LONGEST_SILENCE_S)

    def _trade_out_of_step(self, number: int, last: int, recv_ns: int, now: float) -> None:
        if number > last:
            self.holes.append(Hole(last + 1, number - 1, self.last_ns, recv_ns, now + GRACE_S))
            self._last, self._backwards = number, 0
        elif not self._fill(number):
            self._late(number, recv_ns, now)

    def _book_out_of_step(self, previous: int | None, last: int, recv_ns: int, now: float) -> None:
        if previous is None:
            if self._lost:
                self.breaks.append(Break(last, None, self.last_ns, recv_ns, now))
        elif previous not in self._seen:
            grace_s = 0.0 if self._lost else GRACE_S  # what no connection carried cannot arrive late
            self.breaks.append(Break(last, previous, self.last_ns, recv_ns, now + grace_s))

    def _late(self, number: int, recv_ns: int, now: float) -> None:
        """Store an id below the newest; a long row of them means that the venue's ids have begun anew."""
        self.stats.late += 1
        self._backwards += 1
        if self._backwards >= REBASE_AFTER:
            self.breaks.append(Break(self._last, None, self.last_ns, recv_ns, now))
            self._last, self._backwards = number, 0

    def _fill(self, number: int) -> bool:
        for hole in self.holes:
            if hole.first <= number <= hole.last:
                self.forget(number, number)
                return True
        return False
