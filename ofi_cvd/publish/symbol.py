"""Builds one symbol, hour after hour: reads what an hour needs, computes and publishes it, and asks the plan what is due.

`ofi_cvd.publish.plan` decides what is due; here are files, states and the order: the earliest due hour first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import duckdb

from ofi_cvd.binance.wire import depth_levels
from ofi_cvd.common.times import HOUR_MS, hour_of, show_time
from ofi_cvd.errors import PublishError, SpoolError
from ofi_cvd.features.carry import CarryState
from ofi_cvd.features.hour import Hour
from ofi_cvd.publish import states
from ofi_cvd.publish.basis import Basis, Influences, basis, id_gaps, influences
from ofi_cvd.publish.checkpoint import HourEntry, SymbolEntry
from ofi_cvd.publish.epochs import EpochsChanged, keyed_ledger, reset_hours
from ofi_cvd.publish.hour import Built, close_hour, first_admitted_ms, hour_from, id_gaps_of
from ofi_cvd.publish.ingest import Reader
from ofi_cvd.publish.job import Job, horizon_ms, slice_starts, without_parts
from ofi_cvd.publish.late import hours_of_late, keep
from ofi_cvd.publish.parse_cache import ParseCache
from ofi_cvd.publish.plan import Known, Passes, due_hours
from ofi_cvd.publish.slices import is_compacted, metadata, publish_hour
from ofi_cvd.publish.spool_source import Ends, Late, SpoolSource, receipts_for
from ofi_cvd.publish.streams import is_imported
from ofi_cvd.spool.segments import inputs_in_force

OnHour = Callable[[int, HourEntry], None]


class SymbolBuild:
    """One run over one symbol: a job, the symbol's part of the checkpoint (kept up to date) and the ledger's records."""

    def __init__(
        self,
        job: Job,
        entry: SymbolEntry,
        ledger: Sequence[Mapping[str, object]],
        on_hour: OnHour,
        cache: ParseCache | None = None,
    ) -> None:
        self.job, self.entry, self.settings, self.on_hour, self.cache = job, entry, job.settings, on_hour, cache
        self._records = ledger
        self.ledger = keyed_ledger(ledger, job.symbol, self.settings, entry.epochs)
        self.inputs = inputs_in_force(ledger)
        self.levels = min(self.settings.levels, depth_levels(self.settings.source) or 1)
        self.spool = SpoolSource(job.symbol, self.settings, self.levels, entry.sources, entry.epochs, self._note_late)
        self.opening = CarryState()
        self._standing: int | None = None  # the hour that the pending rows and the state are open at
        self._influences = self._influences_of(entry.hours)
        self._due: set[int] = set()
        self._lost = 0  # states that were not there, or thinned
        self._recomputed: set[int] = set()  # the hours that are computed for them, and those that they open
        self._passes = Passes()

    def is_idle(self) -> bool:
        """Return whether there is nothing to do: the spool is as it was, and what was asked for is published."""
        return self.entry.done and self.spool.is_unchanged and not self._due_at_start()

    def run(self) -> None:
        """Build every hour that is due.

        Raises:
            SpoolError: a spool file cannot be read.
            PublishError: a file cannot be written, or an hour does not settle; what was published is untouched.
        """
        if self.is_idle():
            return
        with duckdb.connect() as connection:
            # Worker processes share the cores; a thread each, and no result depends on how many.
            connection.execute("SET threads = 1; SET enable_progress_bar = false")
            self.spool.reader = Reader(connection, self.settings, self.levels, self.cache)
            self.spool.withdraw_superseded()
            if self.spool.has_all_files:
                for hour in self.entry.hours.values():
                    hour.is_kept = False
            self._due = self._due_at_start()
            self.entry.done = False
            self.spool.built = self._ends_before(None)
            while not self._build_all():
                pass
            self.entry.done = True
            states.thin(self.settings.state_dir, self.entry.hours, self.entry.hours)

    def _build_all(self) -> bool:
        """Build the hours that are due; false if ids turn out to begin anew elsewhere, by which everything is known anew."""
        try:
            while (hour_ms := self._next_hour()) is not None:
                self._build(hour_ms)
        except EpochsChanged as changed:
            reset_hours(self.entry, changed.from_ms)
            self.ledger = keyed_ledger(self._records, self.job.symbol, self.settings, self.entry.epochs)
            self._influences = self._influences_of(self.entry.hours)
            self._due |= {*self.entry.late, *self._still_due()}
            self.spool.built, self._standing = self._ends_before(None), None
            return False
        return True

    def _due_at_start(self) -> set[int]:
        """Return the hours that are due before any file is read."""
        hours, window = self.entry.hours, self.job.window
        asked = [at for at in hours if window.overlaps(at, at + HOUR_MS)] if self.job.rebuild else []
        known = Known(
            influences=self._influences,
            last_event_ms=self.entry.last_event_ms,
            rows=self.entry.late,
            has_grown=self.job.rebuild or not self.spool.is_unchanged or not self.entry.done,
            without_parts=without_parts(self.job, self.entry, self.cache),
            asked=asked,
        )
        return set(due_hours(hours, known))

    def _still_due(self, among: Iterable[int] | None = None) -> set[int]:
        """Return the hours that became due while this run reads and builds."""
        known = Known(self._influences, self.entry.last_event_ms, rows=self.entry.late)
        return set(due_hours(self.entry.hours, known, among))

    def _next_hour(self) -> int | None:
        """Return the next hour to compute, with rows and state open at it; None when all is built."""
        while True:
            if self._due:
                if self._stand_at(min(self._due)):
                    return min(self._due)
                continue
            last = max(self.entry.hours, default=None)
            if last is not None and not (self._stand_at(last + HOUR_MS) and not self._is_early(last + HOUR_MS)):
                continue
            found = self._first_hour() if last is None else last + HOUR_MS
            if last is not None and self.entry.last_event_ms < last + HOUR_MS:
                found = None
            receipt_hour = self.spool.next_receipt_hour_ms
            if found is None and receipt_hour is not None:
                self.spool.read_through(receipt_hour)
                self._note_times()
                continue
            # What the last hour ended with may not be its end: time went on. With nothing left to read, all must hold.
            self._due |= self._still_due(None if found is None else {found - HOUR_MS})
            if not self._due:
                self._standing = found
                return found

    def _note_times(self) -> None:
        """Note the latest event and receipt among what was read."""
        times = (self.spool.trades.last_ms(), self.spool.books.last_ms())
        ends = (-(-at // 1000) * 1000 for at in times if at is not None)
        self.entry.last_event_ms = max(self.entry.last_event_ms, *ends, -1)
        self.entry.last_recv_ms = max(self.entry.last_recv_ms, self.spool.last_recv_ms)

    def _first_hour(self) -> int | None:
        """Return the hour of the first open row of either stream; a row is never earlier than the one before it."""
        scalars = self.opening.scalars
        firsts = (
            (self.spool.trades.first_ms(), scalars.last_trade_ms),
            (self.spool.books.first_ms(), scalars.last_update_ms),
        )
        times = [max(first, before or first) for first, before in firsts if first is not None]
        return hour_of(min(times)) if times else None

    def _is_early(self, hour_ms: int) -> bool:
        """Return whether the first open row lies before the hour: the one it belongs to was closed too soon, and is due."""
        early = self._first_hour()
        if early is None or early >= hour_ms:
            return False
        self._due.add(early)
        self._standing = None
        return True

    def _note_late(self, late: Late) -> None:
        """Make the hours due that late rows may belong to."""
        found = hours_of_late(self.entry.hours, late)
        self.entry.late = sorted({*self.entry.late, *found})
        self._due |= found

    def _ends_before(self, hour_ms: int | None) -> Ends:
        """Return the positions that the hours before an hour end with; of all hours with None."""
        at = max(self.entry.hours, default=0) if hour_ms is None else hour_ms - HOUR_MS
        before = self.entry.hours.get(at, HourEntry())
        return Ends(before.trades_to, before.updates_to)

    def _influences_of(self, hours: Mapping[int, HourEntry]) -> Influences:
        settings = self.settings
        reach_secs = max(settings.win_secs, settings.div_max_secs + settings.pivot_span_secs)
        gaps = id_gaps(hours, self.entry.ahead)
        return influences(self.ledger, gaps, self.spool.seen_ids(), reach_secs * 1000)

    def _stand_at(self, hour_ms: int) -> bool:
        """Open rows and state at an hour; false if a part of the state is lost, which makes its hour due."""
        if self._standing == hour_ms:
            return True
        opening = states.load(
            self.settings.state_dir, self.job.symbol, hour_ms, self.entry.hours, self.settings.vol_lookback_secs
        )
        if isinstance(opening, int):
            self._lost += 1
            self._due.add(opening)
            self._recomputed |= {opening, hour_ms}
            return False
        self.spool.open_at(self._ends_before(hour_ms), goes_on=False)
        self.opening, self._standing = opening, hour_ms
        return True

    def _read_for(self, hour_ms: int) -> bool:
        """Read what an hour needs; false if that shows that an earlier hour is due."""
        known = self.entry.hours.get(hour_ms)
        try:
            self.spool.check_there(Ends(known.trades_to, known.updates_to) if known else Ends())
        except SpoolError:
            self._keep(hour_ms)
            raise
        felt = [one.end_ms for one in self._influences.on(hour_ms) if one.what == "trade_outage"]
        self.spool.read_through(receipts_for(hour_ms, felt))
        self.spool.read_known(hour_ms + HOUR_MS)
        self._note_times()
        return not any(at < hour_ms for at in self._due) and not self._is_early(hour_ms)

    def _keep(self, hour_ms: int) -> None:
        """Leave an hour as it is, and those that wait for it: said once, hours that do not need its files go on."""
        self._recomputed |= keep(self.entry, hour_ms, self._recomputed)

    def _build(self, hour_ms: int) -> None:
        """Compute, publish and close one hour, unless reading for it shows that an earlier one is due."""
        if not self._read_for(hour_ms):
            return
        trade_rows, _ = self.spool.trades.take(hour_ms + HOUR_MS)
        book_rows, _ = self.spool.books.take(hour_ms + HOUR_MS)
        scalars, opens, then = self.opening.scalars, self.spool.opens, self._influences
        entry = HourEntry(
            trades_from_id=None if trade_rows.is_empty() else int(trade_rows["trade_id"][0]),
            updates_from_id=None if book_rows.is_empty() else int(book_rows["update_id"][0]),
            trades_to=self.spool.trades.position_of_last(trade_rows) or opens.trade,
            updates_to=self.spool.books.position_of_last(book_rows) or opens.update,
            first_trade_ms=first_admitted_ms(trade_rows, scalars),
            id_gaps=id_gaps_of(trade_rows, scalars),
        )
        entry.basis = self._basis_of(hour_ms, entry)
        if self._passes.is_repeated(hour_ms, entry.basis, self.spool.news + self._lost):
            raise PublishError(
                f"{self.job.symbol} {show_time(hour_ms)}: expected an hour that settles, found it due again "
                f"although nothing changed that it is built from; please report this"
            )
        hour = hour_from(
            self.job.symbol,
            hour_ms,
            (trade_rows, book_rows),
            self.opening,
            entry,
            self.entry.last_event_ms,
            self.levels,
        )
        self._close(hour, close_hour(hour, self.settings), entry, then)

    def _basis_of(self, hour_ms: int, entry: HourEntry) -> Basis:
        """Return what an hour is built from, with the id gaps that its rows and those behind it show."""
        hours = {**self.entry.hours, hour_ms: entry}
        if hour_ms == max(hours):
            behind = entry.trades_to[0] if entry.trades_to else -1
            gaps = id_gaps_of(self.spool.trades.rows(), self.opening.scalars)
            self.entry.ahead = [gap for gap in gaps if gap.last > behind]
        fresh = self._influences_of(hours)
        if fresh.known != self._influences.known:
            self._influences = fresh
        return basis(hour_ms, hours, self._influences, self.entry.last_event_ms, entry)

    def _close(self, hour: Hour, built: Built, entry: HourEntry, then: Influences) -> None:
        """Publish an hour's slices and its closing state, and note what follows from them."""
        known = self.entry.hours.get(hour.start_ms, HourEntry())
        is_received = horizon_ms(self.job, self.entry) > hour.end_ms and hour.last_event_ms >= hour.end_ms
        is_in = is_received or is_imported(self.inputs, self.job.symbol, self.settings, hour.end_ms)
        entry.final = is_in and self.entry.epochs.is_decided(hour.end_ms)
        entry.reject_reasons = built.reject_reasons
        entry.slice_secs = known.slice_secs if known.slices and not self.job.rebuild else self.job.slice_secs
        if is_compacted(known, self.settings.data_dir, hour.symbol, hour.start_ms):
            entry.slice_secs = 3600
        entry.slices = publish_hour(
            built.tables,
            data_dir=self.settings.data_dir,
            symbol=hour.symbol,
            hour_ms=hour.start_ms,
            slice_secs=entry.slice_secs,
            starts=slice_starts(self.job, self.entry, hour.start_ms, entry),
            known=known,
            facts=metadata(self.settings, entry.slice_secs),
        )
        hours, state_dir, reach_secs = self.entry.hours, self.settings.state_dir, self.settings.vol_lookback_secs
        states.save(state_dir, hour.symbol, hour.start_ms, built.closing, entry, hours, reach_secs)
        hours[hour.start_ms] = entry
        states.thin(state_dir, hours, [max(hours) - states.KEPT_MS - HOUR_MS])
        self.entry.late = [at for at in self.entry.late if at != hour.start_ms]
        self._due.discard(hour.start_ms)
        changed = self._influences.hours_changed_since(then, self.entry.hours)
        self._due |= self._still_due({hour.end_ms, *changed})
        self.opening = built.closing
        self.spool.open_at(Ends(entry.trades_to, entry.updates_to), goes_on=True)
        self.spool.built = self._ends_before(None)
        self._standing = hour.end_ms
        self.on_hour(hour.start_ms, entry)
