"""Brings one input into the spool as segments; the ledger's `imported` record, written last, makes them count."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from ofi_cvd.common.files import lock_at
from ofi_cvd.common.times import HOUR_MS, MINUTE_MS
from ofi_cvd.errors import InputError, SpoolError
from ofi_cvd.history.inputs import InputFile
from ofi_cvd.history.placeholders import with_absent_ids
from ofi_cvd.history.revision import Changes, compare_revisions
from ofi_cvd.history.rows import Chunk, prefetched
from ofi_cvd.spool.ledger import Ledger, read_ledger
from ofi_cvd.spool.market import check_market, claim_market
from ofi_cvd.spool.segment_writer import HourOfRows, SegmentWriter
from ofi_cvd.spool.segments import ImportedInput, id_column, imported_inputs, inputs_in_force

EDGE_MS = 10 * MINUTE_MS
"""Books that end this close to the end of their file's period cover it; an earlier end is taken as it is."""

Progress = Callable[[InputFile], None]


class Rows(Protocol):
    """What the importer asks of a file of any format, once it was looked at."""

    @property
    def file(self) -> InputFile:
        """The file."""

    @property
    def symbol(self) -> str:
        """Its symbol."""

    @property
    def source(self) -> str:
        """The format."""

    @property
    def stem(self) -> str:
        """The name that a revision of it keeps."""

    @property
    def stream(self) -> str:
        """The stream of the spool that the rows belong to."""

    @property
    def market(self) -> str | None:
        """The market; None where the file does not say."""

    @property
    def proves_absence(self) -> bool:
        """Whether an id that is not in the file is no trade."""

    @property
    def span_ms(self) -> tuple[int, int] | None:
        """The time that the file covers by its name."""

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows with the columns of a segment, and how many lines were refused."""


@dataclass
class InputReport:
    """What became of one input.

    Attributes:
        rows: rows that its segments hold.
        start_ms, end_ms: the time that it covers.
        hours: the hours that hold rows.
        missing: ids between the first and the last that no row has (of stream `trade`, in a file that is not verified).
        absent: ids that a verified file proves to be no trades.
        repeated: rows whose id another row of the input has too.
        refused: rows that could not be used, by reason.
        is_known: whether the spool had this very input before; then nothing was added.
        superseded_by: the input that replaced it; empty while it counts.
        supersedes: the inputs that it replaces.
        changes: how it differs from them.
    """

    path: Path
    source: str
    symbol: str
    stream: str
    sha256: str
    is_verified: bool
    rows: int = 0
    start_ms: int = 0
    end_ms: int = 0
    hours: int = 0
    missing: int = 0
    absent: int = 0
    repeated: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    is_known: bool = False
    superseded_by: str = ""
    supersedes: list[str] = field(default_factory=list)
    changes: Changes | None = None


def import_rows(found: Rows, spool_dir: Path, progress: Progress | None = None) -> InputReport:
    """Import one file that was looked at and verified; nothing is added if the spool has it already.

    A kill at any moment leaves nothing that counts; repeating the import completes it.

    Raises:
        InputError: the file is damaged, holds no usable row, or is of another market than the spool.
        SpoolError: the disk refused, or the spool is damaged.
    """
    if found.market is not None:
        check_market(spool_dir, found.market)
    report = InputReport(
        found.file.path, found.source, found.symbol, found.stream, found.file.sha256, found.file.is_verified
    )
    try:
        with _alone(spool_dir):
            records = read_ledger(spool_dir)
            if known := _known(imported_inputs(records), report):
                return _as_known(report, known, inputs_in_force(records))
            _Import(found, spool_dir, report, inputs_in_force(records)).run(progress)
    except OSError as error:
        raise SpoolError(f"importing into {spool_dir}: {error}; repeat the import to complete it") from error
    return report


class _Import:
    """One input on its way into the spool."""

    def __init__(self, found: Rows, root: Path, report: InputReport, inputs: Sequence[ImportedInput]) -> None:
        self._found, self._root, self._report, self._inputs = found, root, report, inputs
        self._last_id: int | None = None

    def run(self, progress: Progress | None) -> None:
        found, report = self._found, self._report
        writer = SegmentWriter(self._root, found.symbol, found.stream, found.source, report.sha256)
        try:
            for chunk in prefetched(found.chunks()):
                report.refused += chunk.refused
                writer.add(chunk.frame, _hour_of())
                if progress:
                    progress(found.file)
            if not writer.has_rows:
                raise InputError(f"{found.file.path}: expected usable rows, found none ({_reasons(report.refused)})")
            if found.market is not None:
                claim_market(self._root, found.market)
            hours = writer.finish(self._complete if found.proves_absence else None)
        finally:
            writer.abandon()
        self._describe(hours)
        self._note(hours)

    def _complete(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Add the ids that the file proves to be no trades to the hour that follows them."""
        whole = with_absent_ids(frame, self._last_id)
        self._report.absent += len(whole) - len(frame)
        self._last_id = int(whole["trade_id"][-1])
        return whole

    def _describe(self, hours: Sequence[HourOfRows]) -> None:
        report = self._report
        report.hours, report.rows = len(hours), sum(hour.rows for hour in hours)
        report.repeated = sum(hour.rows - hour.ids for hour in hours)
        if id_column(report.stream) == "trade_id":
            report.missing = max(0, missing_ids(hours) - report.absent)
        report.start_ms, report.end_ms = self._coverage(hours)

    def _coverage(self, hours: Sequence[HourOfRows]) -> tuple[int, int]:
        """Return the time that the input covers: its name's, and of books without proof no more than their rows do."""
        first_ms, last_ms = min(hour.first_ms for hour in hours), max(hour.last_ms for hour in hours) + 1
        if self._found.span_ms is None:
            return first_ms, last_ms
        start_ms, end_ms = self._found.span_ms
        if id_column(self._report.stream) == "trade_id":
            return min(start_ms, first_ms), max(end_ms, last_ms)
        return (
            min(start_ms, first_ms) if first_ms - start_ms <= EDGE_MS else first_ms,
            max(end_ms, last_ms) if end_ms - last_ms <= EDGE_MS else last_ms,
        )

    def _note(self, hours: Sequence[HourOfRows]) -> None:
        """Tell the ledger; the record that makes the rows count comes last."""
        report, now_ns = self._report, time.time_ns()
        name = self._found.stem
        old = [
            one
            for one in self._inputs
            if (one.file, one.source, one.symbol, one.stream) == (name, report.source, report.symbol, report.stream)
        ]
        report.supersedes = [one.sha256 for one in old]
        ledger = Ledger(self._root)

        def record(event: str, **facts: object) -> None:
            ledger.record(
                event, recv_ns=now_ns, hour_ms=hours[0].hour_ms, symbol=report.symbol, stream=report.stream,
                conn="import", sha256=report.sha256, **facts,
            )  # fmt: skip
            ledger.sync()

        if report.absent:
            record("absent", count=report.absent)
        record(
            "imported", file=name, source=report.source, rows=report.rows, start_ms=report.start_ms,
            end_ms=report.end_ms, supersedes=report.supersedes,
        )  # fmt: skip
        if old:
            report.changes = compare_revisions(self._root, old, self._as_input(name, now_ns))

    def _as_input(self, name: str, now_ns: int) -> ImportedInput:
        report = self._report
        return ImportedInput(
            report.sha256, name, report.source, report.symbol, report.stream, report.rows, report.start_ms,
            report.end_ms, now_ns, tuple(report.supersedes),
        )  # fmt: skip


def missing_ids(hours: Sequence[HourOfRows]) -> int:
    """Return how many ids lie between the first and the last that no row has."""
    if not hours:
        return 0
    first, last = min(hour.first_id for hour in hours), max(hour.last_id for hour in hours)
    return max(0, last - first + 1 - sum(hour.ids for hour in hours))


def _hour_of() -> pl.Expr:
    """Return the hour of receipt, or of the row's own time where there is no receipt."""
    return pl.coalesce(pl.col("recv_ns").floordiv(1_000_000), "traded_ms").floordiv(HOUR_MS) * HOUR_MS


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Be the only import into a spool, and clear away what a killed one left."""
    with lock_at(root / ".import.lock"):
        for left in root.glob(".import-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _known(inputs: Sequence[ImportedInput], report: InputReport) -> ImportedInput | None:
    wanted = (report.sha256, report.symbol, report.stream, report.source)
    return next((one for one in inputs if (one.sha256, one.symbol, one.stream, one.source) == wanted), None)


def _as_known(report: InputReport, known: ImportedInput, in_force: Sequence[ImportedInput]) -> InputReport:
    report.is_known, report.rows = True, known.rows
    report.start_ms, report.end_ms = known.start_ms, known.end_ms
    if known not in in_force:
        later = [one for one in in_force if one.file == known.file and one.stream == known.stream]
        report.superseded_by = later[-1].sha256 if later else "another"
    return report


def _reasons(refused: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(refused.items())) or "no rows"
