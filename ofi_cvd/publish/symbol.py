"""Builds one symbol, hour after hour: the loop between the spool, the plan of an hour and what is published (SPEC 10).

An hour is due when it is new, not final, touched by late or repaired rows or by a new ledger gap, or opens with another
state than before. Hours that are not due are passed over; the states they close with are on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import polars as pl

from ofi_cvd.binance.wire import depth_levels
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import PublishError, SpoolError
from ofi_cvd.features.carry import CarryState, digest
from ofi_cvd.features.gaps import Hole, LedgerGap, ledger_gaps, unrepaired
from ofi_cvd.features.hour import Hour
from ofi_cvd.publish.checkpoint import HourEntry, SymbolEntry, write_whole
from ofi_cvd.publish.hour import Built, after_last, close_hour, first_admitted_ms, open_holes, state_name
from ofi_cvd.publish.ingest import Reader
from ofi_cvd.publish.intake import Intake, Keys, Late, receipts_for
from ofi_cvd.publish.memory import Memory
from ofi_cvd.publish.slices import Window, are_published, is_compacted, metadata, publish_hour
from ofi_cvd.settings import Settings

EVERYTHING = Window()

OnHour = Callable[[int, HourEntry], None]


@dataclass(frozen=True)
class Job:
    """What to build of one symbol.

    Attributes:
        slice_secs: length of new slices.
        window: which slices to publish; hours before it are computed for their state alone.
        live: publish a slice only once the spool holds receipts GRACE_SECS past its end.
        rebuild: compute and publish the hours of the window again.
    """

    symbol: str
    settings: Settings
    slice_secs: int = 3600
    window: Window = EVERYTHING
    live: bool = False
    rebuild: bool = False


class SymbolBuild:
    """One run over one symbol.

    Args:
        job: what to build.
        entry: the symbol's part of the checkpoint; kept up to date.
        ledger: the ledger's records.
        on_hour: called after each hour that was computed.
        memory: of a process that builds again and again.
    """

    def __init__(
        self,
        job: Job,
        entry: SymbolEntry,
        ledger: Sequence[Mapping[str, object]],
        on_hour: OnHour,
        memory: Memory | None = None,
    ) -> None:
        self.job, self.entry, self.settings, self.on_hour, self.memory = job, entry, job.settings, on_hour, memory
        self.trade_gaps = ledger_gaps(ledger, job.symbol, self.settings.trade_stream)
        self.book_gaps = ledger_gaps(ledger, job.symbol, self.settings.source)
        self.levels = min(self.settings.levels, depth_levels(self.settings.source) or 1)
        self.intake = Intake(job.symbol, self.settings, self.levels, entry.sources, self._note_late)
        self._standing: int | None = None  # the hour the pools are open at
        self._unfinished: int | None = None  # the hour that was built up to the last event known
        self.opening = CarryState()

    def is_idle(self) -> bool:
        """Return whether there is nothing to do: the spool is as it was, and what was asked for is published."""
        return self.entry.done and self.intake.is_unchanged and not self._due_at_start()

    def run(self) -> None:
        """Build every hour that is due.

        Raises:
            SpoolError: a spool file cannot be read.
            PublishError: a file cannot be written; what was published is untouched.
        """
        if self.is_idle():
            return
        with duckdb.connect() as connection:
            # Worker processes share the cores; a thread each, and no result depends on how many.
            connection.execute("SET threads = 1; SET enable_progress_bar = false")
            self.intake.reader = Reader(connection, self.settings, self.levels, self.memory)
            self.entry.due = sorted(self._due_at_start())
            self.entry.gaps = self._gap_texts()
            self.entry.done = False
            self.intake.built = self._built_keys()
            while (hour_ms := self._next_hour()) is not None:
                self._build(hour_ms)
            self.entry.done = True

    # Which hours

    def _due_at_start(self) -> set[int]:
        """Return the hours that are due before any file is read."""
        known, window = self.entry.hours, self.job.window
        due = set(self.entry.due) | self._touched_by_gaps()
        due |= {at for at, hour in known.items() if not self._is_published(at, hour)}
        if not self.intake.is_unchanged or self.job.rebuild or not self.entry.done:
            due |= {at for at, hour in known.items() if not hour.final}
        if self.job.rebuild:
            due |= {at for at in known if window.overlaps(at, at + HOUR_MS)}
        return due

    def _is_published(self, hour_ms: int, hour: HourEntry) -> bool:
        """Return whether every slice that the command asks for and the hour can have is published, and still there."""
        asked = all(at in hour.slices for at in self._slice_starts(hour_ms, hour))
        if not asked or self.memory is None:
            return asked and are_published(hour, self.settings.data_dir, self.job.symbol, hour_ms)
        if not hour.final or (self.job.symbol, hour_ms) not in self.memory.intact:
            if not are_published(hour, self.settings.data_dir, self.job.symbol, hour_ms):
                return False
            self.memory.intact.add((self.job.symbol, hour_ms))
        return True

    def _slice_starts(self, hour_ms: int, hour: HourEntry) -> list[int]:
        """Return the starts of the slices that the command asks for and the hour can have."""
        step, until = hour.slice_secs * 1000, self._known_until_ms(hour_ms, final=hour.final)
        starts = range(hour_ms, min(hour_ms + HOUR_MS, until + 1), step)
        return [at for at in starts if self.job.window.has(at, at + step) and (not self.job.live or at + step <= until)]

    def _known_until_ms(self, hour_ms: int, *, final: bool) -> int:
        """Return up to where an hour's rows are known, as the command understands it: live waits for late frames."""
        end_ms = hour_ms + HOUR_MS
        return end_ms if final else min(end_ms, self._horizon_ms if self.job.live else self.entry.last_event_ms)

    @property
    def _horizon_ms(self) -> int:
        return self.entry.last_recv_ms - round(self.settings.grace_secs * 1000)

    def _touched_by_gaps(self) -> set[int]:
        """Return the known hours that a ledger gap reaches which was not known, or is known no more."""
        spans = [[int(part) for part in text.split()[1:3]] for text in set(self._gap_texts()) ^ set(self.entry.gaps)]
        return {
            at for at in self.entry.hours for start, end in spans if start < at + HOUR_MS and end + self._reach_ms >= at
        }

    def _gap_texts(self) -> list[str]:
        named = (("trade", self.trade_gaps), ("book", self.book_gaps))
        return [
            f"{which} {gap.start_ms} {gap.end_ms} {gap.expected} {gap.received}"
            for which, some in named
            for gap in some
        ]

    @property
    def _reach_ms(self) -> int:
        """How long after its end an outage is felt."""
        secs = max(self.settings.win_secs, self.settings.div_max_secs + self.settings.pivot_span_secs)
        return secs * 1000

    def _next_hour(self) -> int | None:
        """Return the next hour to compute, with the pools open at it; None when all is built."""
        while True:
            if self.entry.due:
                if self._stand_at(self.entry.due[0]):
                    return self.entry.due[0]
                continue
            candidate = max(self.entry.hours) + HOUR_MS if self.entry.hours else None
            if candidate is not None and not self._stand_at(candidate):
                continue
            if candidate is not None and self._is_early(candidate):
                continue
            found = self._first_hour() if candidate is None else candidate
            if candidate is not None and self.entry.last_event_ms < candidate:
                found = None
            if found is not None and self._unfinished == found - HOUR_MS:
                self._add_due(self._unfinished)  # what it ended with was not its end: time went on
                self._unfinished = None
                continue
            receipt_hour = self.intake.next_receipt_hour_ms
            if found is not None or receipt_hour is None:
                self._standing = found
                return found
            self.intake.read_through(receipt_hour)
            self._note_times()

    def _note_times(self) -> None:
        """Note the latest event and receipt among what was read."""
        times = (self.intake.trades.last_ms(), self.intake.books.last_ms())
        ends = (-(-at // 1000) * 1000 for at in times if at is not None)
        self.entry.last_event_ms = max(self.entry.last_event_ms, *ends, -1)
        self.entry.last_recv_ms = max(self.entry.last_recv_ms, self.intake.last_recv_ms)

    def _first_hour(self) -> int | None:
        """Return the hour of the first open row of either stream; a row is never earlier than the one before it."""
        scalars = self.opening.scalars
        firsts = (
            (self.intake.trades.first_ms(), scalars.last_trade_ms),
            (self.intake.books.first_ms(), scalars.last_update_ms),
        )
        times = [max(first, before or first) for first, before in firsts if first is not None]
        return min(times) // HOUR_MS * HOUR_MS if times else None

    def _is_early(self, hour_ms: int) -> bool:
        """Return whether the first open row lies before the hour: the one it belongs to was closed too soon, and is due."""
        early = self._first_hour()
        if early is None or early >= hour_ms:
            return False
        self._add_due(early)
        self._standing = None
        return True

    def _built_keys(self) -> Keys:
        """Return the ids that the hours built so far end with."""
        hours = [self.entry.hours[at] for at in sorted(self.entry.hours, reverse=True)]
        trades = (hour.next_trade_id for hour in hours if hour.next_trade_id is not None)
        updates = (hour.next_update_id for hour in hours if hour.next_update_id is not None)
        return Keys(next(trades, None), next(updates, None))

    def _note_late(self, late: Late) -> None:
        """Make the hours due that late rows belong to."""
        ends = [
            (key, at)
            for at, hour in sorted(self.entry.hours.items())
            if (key := hour.next_trade_id if late.is_trade else hour.next_update_id) is not None
        ]
        places = pl.Series([key for key, _ in ends], dtype=pl.Int64).search_sorted(late.keys, side="right")
        for place in places.unique():
            self._add_due(ends[place][1])

    def _add_due(self, hour_ms: int) -> None:
        self.entry.due = sorted({*self.entry.due, hour_ms})

    # One hour

    def _stand_at(self, hour_ms: int) -> bool:
        """Open the pools and the state at an hour; false if the state is lost, which makes the hour before due."""
        if self._standing == hour_ms:
            return True
        before = self.entry.hours.get(hour_ms - HOUR_MS, HourEntry())
        opening = self._stored_state(before)
        if opening is None:
            self._add_due(hour_ms - HOUR_MS)
            return False
        self.intake.open_at(Keys(before.next_trade_id, before.next_update_id), goes_on=False)
        self.opening = opening
        self._standing = hour_ms
        return True

    def _stored_state(self, before: HourEntry) -> CarryState | None:
        """Return the state an hour closed with; None if its file is not the one that the checkpoint knows."""
        if not before.state:
            return CarryState()
        try:
            data = (self.settings.state_dir / before.state).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            path = self.settings.state_dir / before.state
            raise PublishError(f"{path}: expected the state of an hour, found {error.strerror}") from None
        return CarryState.from_bytes(data) if digest(data) == before.state_digest else None

    def _build(self, hour_ms: int) -> None:
        """Compute, publish and close one hour, unless reading for it shows that an earlier one is due."""
        known = self.entry.hours.get(hour_ms, HourEntry())
        trade_gaps = [gap for gap in self.trade_gaps if self._is_felt(gap, hour_ms)]
        book_gaps = [gap for gap in self.book_gaps if self._is_felt(gap, hour_ms)]
        until = Keys(known.next_trade_id, known.next_update_id)
        try:
            self.intake.check_there(until)
        except SpoolError:
            self.entry.due = [at for at in self.entry.due if at != hour_ms]  # said once; hours without it go on
            raise
        self.intake.read_through(receipts_for(hour_ms, [gap.end_ms for gap in trade_gaps]))
        self.intake.read_known(hour_ms + HOUR_MS)
        self._note_times()
        if self.entry.due and self.entry.due[0] < hour_ms:
            return
        if self._is_early(hour_ms):
            return
        trade_rows, trade_key = self.intake.trades.take(hour_ms + HOUR_MS)
        book_rows, update_key = self.intake.books.take(hour_ms + HOUR_MS)
        holes = open_holes(self.intake.trades.rows(), self.opening.scalars)
        earlier = [hole for at, one in self.entry.hours.items() if at < hour_ms for hole in one.holes]
        hour = Hour(
            symbol=self.job.symbol,
            start_ms=hour_ms,
            trade_rows=trade_rows,
            book_rows=book_rows,
            opening=self.opening,
            trade_outages=unrepaired(trade_gaps, [*earlier, *holes], *self.intake.seen_ids()),
            book_outages=sorted({gap.span for gap in book_gaps}),
            first_trade_ms=self.opening.scalars.first_trade_ms or first_admitted_ms(trade_rows),
            last_event_ms=self.entry.last_event_ms,
            levels=self.levels,
        )
        built = close_hour(hour, self.settings)
        trade_key, update_key = (
            fresh if fresh is not None else old
            for fresh, old in zip(
                (trade_key or after_last(trade_rows, "trade_id"), update_key or after_last(book_rows, "update_id")),
                (self.intake.keys.trade, self.intake.keys.update),
                strict=True,
            )
        )
        entry = self._entry(hour, built, known, Keys(trade_key, update_key), holes)
        self._close(hour, built, known, entry)

    def _is_felt(self, gap: LedgerGap, hour_ms: int) -> bool:
        return gap.start_ms < hour_ms + HOUR_MS and gap.end_ms + self._reach_ms >= hour_ms

    def _entry(self, hour: Hour, built: Built, known: HourEntry, ends: Keys, holes: Sequence[Hole]) -> HourEntry:
        """Publish the hour's slices and return what the checkpoint says of it."""
        settings = self.settings
        final = self._horizon_ms > hour.end_ms and hour.last_event_ms >= hour.end_ms
        slice_secs = known.slice_secs if known.slices and not self.job.rebuild else self.job.slice_secs
        if is_compacted(known, settings.data_dir, hour.symbol, hour.start_ms):
            slice_secs = 3600
        entry = HourEntry(
            slice_secs=slice_secs,
            final=final,
            next_trade_id=ends.trade,
            next_update_id=ends.update,
            state=state_name(hour.symbol, hour.end_ms),
            state_digest=built.digest,
            objections=built.objections,
            holes=[hole for hole in holes if ends.trade is None or hole.last < ends.trade],
        )
        entry.slices = publish_hour(
            built.tables,
            data_dir=settings.data_dir,
            symbol=hour.symbol,
            hour_ms=hour.start_ms,
            slice_secs=slice_secs,
            starts=self._slice_starts(hour.start_ms, entry),
            known=known,
            facts=metadata(settings, slice_secs),
        )
        return entry

    def _close(self, hour: Hour, built: Built, known: HourEntry, entry: HourEntry) -> None:
        """Store the closing state, note what follows from it, and go on to the next hour."""
        write_whole(self.settings.state_dir / entry.state, built.state)
        self.entry.hours[hour.start_ms] = entry
        due = set(self.entry.due) - {hour.start_ms}
        is_as_before = entry.state_digest == known.state_digest and (
            (entry.next_trade_id, entry.next_update_id) == (known.next_trade_id, known.next_update_id)
        )
        if not is_as_before and hour.end_ms <= max(self.entry.hours):
            due.add(hour.end_ms)
        self.entry.due = sorted(due)
        self.opening = built.closing
        self.intake.open_at(Keys(entry.next_trade_id, entry.next_update_id), goes_on=True)
        self.intake.built = self._built_keys()
        self._unfinished = hour.start_ms if hour.last_event_ms < hour.end_ms else None
        self._standing = hour.end_ms
        self.on_hour(hour.start_ms, entry)
