"""One stream of one symbol across all connections: what was seen, what repeats, what is missing. No clock, no socket.

Trade ids grow by one, so a jump is a gap that can be named. Futures books chain: each names the update before it. Best
quotes and spot books do not chain: `coverage` says whether one connection took over from another without a gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ofi_cvd.binance.keys import Key, is_diff
from ofi_cvd.collect.actions import Line, StreamKey
from ofi_cvd.collect.arrivals import Arrival, DroppedFrames, SequenceBreak, Verdict
from ofi_cvd.collect.coverage import Coverage
from ofi_cvd.collect.id_gaps import IdGap, IdGaps
from ofi_cvd.collect.seen_ids import SeenIds
from ofi_cvd.collect.stats import StreamStats
from ofi_cvd.collect.stream_rate import StreamRate

GRACE_S = 1.0  # a missing id may still arrive on the other connection, or out of order
HOLD_S = 0.05  # within one connection only neighbours change places
REBASE_AFTER = 50  # so many frames in a row far below the newest id: the venue has begun anew
BELIEVED_JUMP = 100_000  # ids that may be missing at once, ...
BELIEVED_PER_S = 10_000  # ... and that may have been missed in each second without a frame


class StreamState:
    """The identity of one stream; see the module.

    Attributes:
        id_gaps: trade ids that are missing.
        breaks: of the book, not yet reported.
        dropped: frames lost on our side, not yet reported.
        rate: how often it speaks.
        held: frames behind a missing update, not stored yet.
        coverage: of a stream without a chain; None for the others.
        is_sparse: whether it may be silent for hours, so that silence says nothing.
        is_diff: whether it carries changes of the full book.
        chain: how often its chain began; `chain_from` is the update id that the running chain continues.
        last_ns: the last stored receipt; 0 before the first.
        strikes: how often in a row the stream was found silent.
        is_ready: whether it is known where the last recording stopped.
    """

    def __init__(self, symbol: str, stream: str, lru: int, stats: StreamStats, *, is_chained: bool = True) -> None:
        self.symbol, self.stream, self.stats = symbol, stream, stats
        self.key: StreamKey = (symbol, stream)
        self.is_trade = stream in ("aggTrade", "trade")
        self.coverage = None if self.is_trade or is_chained else Coverage()
        self.id_gaps = IdGaps()
        self.breaks: list[SequenceBreak] = []
        self.dropped = DroppedFrames()
        self.held: list[Arrival] = []
        self.is_sparse = stream == "forceOrder"
        self.is_diff = is_diff(stream)
        self.chain = 0
        self.chain_from: int | None = None if self.is_diff else 0
        self.last_ns = 0
        self.strikes = 0
        self.is_ready = True
        self._seen = SeenIds(lru)
        self._last: int | None = None
        self._far: tuple[int, int] | None = None  # an id that is not believed yet, and its content
        self._unbelieved = -1  # the id just taken, if it is not believed
        self._lost = False
        self._backwards = 0
        self.rate = StreamRate()

    @property
    def newest(self) -> int:
        """The newest id; 0 before the first."""
        return self._last or 0

    def accept(self, key: Key, recv_ns: int, now: float, conn: str = "", before: int | None = None) -> Verdict:
        """Take one frame's key; the same id with the same content is a repetition, on whatever connection.

        Args:
            key: of the frame.
            recv_ns: when it was received.
            now: monotonic seconds.
            conn: the connection that brought it.
            before: the id that this connection brought before it; None for its first.
        """
        known = self._seen.get(key.id)
        if known is not None and (known == key.content or not known or not key.content):
            self.stats.duplicates += 1
            if self.coverage is not None and not self._lost:
                self.coverage.take(conn, key.number, self.last_ns, recv_ns, now)
            return Verdict.REPEATED
        if known is not None:
            self.stats.differing += 1
        elif not self._take_new(key, recv_ns, now, conn, before):
            return Verdict.HELD
        if key.number != self._unbelieved:
            self._seen.add(key.id, key.content)
            self.last_ns = recv_ns
        self.stats.received += 1
        return Verdict.STORED

    def hold(self, arrival: Arrival) -> list[Line]:
        """Keep a frame back; return the lines that it releases, in order, because it is the one that was missing."""
        if not self.held or arrival.key.number != self.held[0].key.previous:
            self.held.append(arrival)
            return []
        return self._released([arrival, *self.held])

    def release(self, now: float) -> list[Line]:
        """Return the lines that were held back for long enough; the gap before them is among `breaks` then."""
        if not self.held or now < self.held[0].now + HOLD_S:
            return []
        first = self.held[0]
        self.breaks.append(SequenceBreak(self._last, first.key.previous, self.last_ns, first.recv_ns, now))
        self._end_chain()
        self._last = first.key.previous
        return self._released(self.held)

    def drop(self, key: Key | None) -> None:
        """Count a frame that could not be stored; its id stays unseen, so that the next frame finds the gap."""
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

    def resume(self, keys: Sequence[tuple[Key, int]]) -> None:
        """Continue where the spool ends: its newest keys and receipts, in file order."""
        for key, recv_ns in keys:
            number, last = key.number, self._last
            if last is None or not self.is_trade:
                self._last = number if last is None else max(last, number)
            elif number > last and not self._is_believed(key, last, recv_ns):
                continue
            elif number > last:
                self._last, self._far = number, None
            self._seen.add(key.id, key.content)
            self.last_ns = max(self.last_ns, recv_ns)
        self._lost, self._far = bool(keys), None

    def add_gaps(self, gaps: Iterable[IdGap]) -> None:
        """Take over gaps that an earlier recording left open."""
        for gap in gaps:
            self.id_gaps.add(gap)
            if gap.reported:
                self.stats.gaps += 1
                self.stats.missing += gap.missing

    def due_breaks(self, now: float) -> list[SequenceBreak]:
        """Return the breaks whose missing update did not arrive in time after all."""
        self._settle_overlaps(now)
        due = [gap for gap in self.breaks if now >= gap.due]
        self.breaks = [gap for gap in self.breaks if now < gap.due]
        return [gap for gap in due if gap.previous is None or gap.previous not in self._seen]

    def repair(self, number: int) -> bool:
        """Take a fetched trade id; False if it is not missing (any more)."""
        if not self.id_gaps.fill(number):
            return False
        if number not in self._seen:
            self._seen.add(number)
        return True

    def _take_new(self, key: Key, recv_ns: int, now: float, conn: str, before: int | None) -> bool:
        """Take an id not seen before; False if the frame is to be held back."""
        number, last = key.number, self._last
        self._unbelieved = -1
        if last is None:
            self._last = number
            if self.coverage is not None:
                self.coverage.restart(conn, number)
        elif self.is_trade:
            if number == last + 1:
                self._last, self._backwards, self._far = number, 0, None
            else:
                self._trade_out_of_step(key, last, recv_ns, now)
        elif self.coverage is not None:
            self._take_unchained(key, last, recv_ns, now, conn)
        elif number < last:
            self._late(number, recv_ns, now)
        else:
            chains = key.previous == last or (self.is_diff and key.previous is not None and key.previous < last)
            if not chains and self._must_hold(key, recv_ns, now, before):
                return False
            self._last, self._backwards, self._lost = number, 0, False
        if self.chain_from is None:
            self.chain, self.chain_from = self.chain + 1, key.previous or 0
        return True

    def _trade_out_of_step(self, key: Key, last: int, recv_ns: int, now: float) -> None:
        """Take a trade that is not the next one; an id too far ahead to be believed changes nothing."""
        number = key.number
        if number > last:
            if not self._is_believed(key, last, recv_ns):
                self.stats.unreadable += 1
                self._unbelieved = number
                return
            until = number
            if self._far is not None:
                until = self._far[0]
                self._seen.add(*self._far)
            self.id_gaps.add(IdGap(last + 1, until - 1, self.last_ns, recv_ns, now + GRACE_S))
            if until + 1 < number:
                self.id_gaps.add(IdGap(until + 1, number - 1, self.last_ns, recv_ns, now + GRACE_S))
            self._last, self._backwards, self._far = number, 0, None
        elif not self.id_gaps.fill(number):
            self._late(number, recv_ns, now)

    def _is_believed(self, key: Key, last: int, recv_ns: int) -> bool:
        """Return whether an id may be so far ahead: time allows it, or another frame close behind confirms it.

        One damaged id would otherwise make millions of ids missing that do not exist yet.
        """
        number = key.number
        silent_s = max(0.0, (recv_ns - self.last_ns) / 1e9)
        if number - last <= BELIEVED_JUMP + BELIEVED_PER_S * silent_s:
            self._far = None
            return True
        if self._far is not None and 0 < number - self._far[0] <= BELIEVED_JUMP:
            return True
        self._far = (number, key.content)
        return False

    def _take_unchained(self, key: Key, last: int, recv_ns: int, now: float, conn: str) -> None:
        assert self.coverage is not None  # noqa: S101  # the caller looked
        number = key.number
        if self._lost:
            self._settle_overlaps(math.inf)  # what is not proven by now never will be
            self.breaks.append(SequenceBreak(last, None, self.last_ns, recv_ns, now))
            self.coverage.restart(conn, number)
            self._last, self._lost, self._backwards = max(number, last), False, 0
            return
        self.coverage.take(conn, number, self.last_ns, recv_ns, now)
        if number < last:
            self._late(number, recv_ns, now)
        else:
            self._last, self._backwards = number, 0

    def _settle_overlaps(self, now: float) -> None:
        if self.coverage is not None:
            for late in self.coverage.due(now):
                self.breaks.append(SequenceBreak(None, None, late.start_ns, late.end_ns, 0.0))

    def _must_hold(self, key: Key, recv_ns: int, now: float, before: int | None) -> bool:
        """Take a book that does not follow the last one; True if its place may still be taken by the missing one."""
        previous, last = key.previous, self._last
        if previous is None or previous in self._seen:
            return False
        if not self._lost and before is not None:
            return True
        grace_s = 0.0 if self._lost else GRACE_S  # what no connection carried cannot arrive late
        self.breaks.append(SequenceBreak(last, previous, self.last_ns, recv_ns, now + grace_s))
        self._end_chain()
        return False

    def _end_chain(self) -> None:
        """Let the next change begin another chain, for which a snapshot is needed."""
        if self.is_diff:
            self.chain_from = None

    def _released(self, arrivals: Sequence[Arrival]) -> list[Line]:
        self.held = []
        lines: list[Line] = []
        for index, one in enumerate(arrivals):
            verdict = self.accept(one.key, one.recv_ns, one.now, one.conn, one.key.previous)
            if verdict is Verdict.HELD:  # another update is missing behind the first
                self.held = list(arrivals[index:])
                break
            if verdict is Verdict.STORED:
                lines.append((self.key, one.recv_ns, one.line))
        return lines

    def _late(self, number: int, recv_ns: int, now: float) -> None:
        """Store an id below the newest; a long row of them means that the venue's ids have begun anew."""
        self.stats.late += 1
        self._backwards += 1
        if self._backwards >= REBASE_AFTER:
            self.breaks.append(SequenceBreak(self._last, None, self.last_ns, recv_ns, now))
            self._end_chain()
            self._last, self._backwards = number, 0
            if self.coverage is not None:
                self.coverage.reach = number
