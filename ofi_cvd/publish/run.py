"""`ofi build`: every symbol's hours, side by side on the cores there are, under one lock and one checkpoint.

See docs/specification/hours.md.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.queues import SimpleQueue
from typing import Final, TypeAlias

import msgspec

from ofi_cvd import __version__
from ofi_cvd.common.files import exclusive
from ofi_cvd.common.signals import ignore_interrupts
from ofi_cvd.errors import RunError, UsageError
from ofi_cvd.publish import checkpoint
from ofi_cvd.publish.checkpoint import BUILD_LOCK, Checkpoint, HourEntry, SymbolEntry
from ofi_cvd.publish.job import EVERYTHING, Job
from ofi_cvd.publish.parse_cache import ParseCache
from ofi_cvd.publish.parts import sample_metadata
from ofi_cvd.publish.segments import effective_ledger, list_sources
from ofi_cvd.publish.slices import Window, remove_unknown_hours
from ofi_cvd.publish.streams import missing_streams
from ofi_cvd.publish.symbol import SymbolBuild
from ofi_cvd.schemas import SPEC_VERSION, Kind
from ofi_cvd.settings import Settings
from ofi_cvd.spool.ledger import read_ledger
from ofi_cvd.spool.market import check_market

Progress: TypeAlias = Callable[[str, int, HourEntry], None]
_Message: TypeAlias = tuple[str, int, bytes]
_LOCK_S: Final = 5.0  # a compaction holds the lock for moments
_SAVE_S: Final = 5.0
_messages: SimpleQueue[_Message] | None = None  # of a worker process, set when it starts


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    Attributes:
        hours: hours computed, by symbol.
        rows: rows published in those hours, by symbol and kind.
        failed: symbols that could not be built, and why (only with `keep_going`).
    """

    hours: dict[str, int] = field(default_factory=dict)
    rows: dict[str, dict[Kind, int]] = field(default_factory=dict)
    failed: dict[str, RunError] = field(default_factory=dict)


def build(
    settings: Settings,
    *,
    slice_secs: int = 3600,
    window: Window = EVERYTHING,
    live: bool = False,
    rebuild: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
    cache: ParseCache | None = None,
    keep_going: bool = False,
) -> BuildReport:
    """Publish everything that the spool holds and that is not published yet; safe to repeat and to interrupt.

    Args:
        settings: parameters, symbols and folders.
        slice_secs: length of new slices; it divides an hour.
        window: the slices to publish.
        live: publish a slice only once the spool holds receipts GRACE_SECS past its end.
        rebuild: publish again what is in the window.
        workers: processes; by default the cores there are, and none for a single symbol.
        progress: called after each hour with symbol, hour and what is known of it.
        cache: of a process that builds again and again, in this process; it goes with `workers=1`.
        keep_going: build the other symbols if one fails, and say so in the report; it goes with `workers=1`.

    Raises:
        LockedError: another build is at work on this dataset.
        UsageError: the spool has none of the symbols, or the dataset was built with other parameters.
        SpoolError, PublishError: a file cannot be read or written; what was published is untouched.
    """
    if slice_secs < 1 or 3600 % slice_secs:
        raise UsageError(f"--slice: expected seconds that divide an hour, found {slice_secs}")
    check_market(settings.spool_dir, settings.market)
    with _lock(settings):
        found = _open_checkpoint(settings, rebuild=rebuild, window=window)
        jobs = {
            symbol: Job(symbol, settings, slice_secs=slice_secs, window=window, live=live, rebuild=rebuild)
            for symbol in _symbols_with_files(settings)
        }
        if not jobs:
            raise UsageError(missing_streams(settings))
        report = BuildReport()
        checkpoint_writer = CheckpointWriter(found, settings, report, progress)
        ledger = effective_ledger(read_ledger(settings.spool_dir))
        jobs = {
            symbol: job
            for symbol, job in jobs.items()
            if not SymbolBuild(job, found.symbols.setdefault(symbol, SymbolEntry()), ledger, _nothing).is_idle()
        }
        if not jobs:
            return report
        count = min(workers or (os.cpu_count() or 1) + 1, len(jobs))  # one more than cores: some wait for the disk
        try:
            if count == 1:
                for symbol, job in jobs.items():
                    entry = found.symbols.setdefault(symbol, SymbolEntry())
                    one = SymbolBuild(job, entry, ledger, partial(checkpoint_writer.note, symbol), cache)
                    _build_one(one, symbol, report, keep_going=keep_going)
            else:
                _build_side_by_side(list(jobs.values()), count, checkpoint_writer)
        finally:
            checkpoint.save(found, settings.state_dir)
        if rebuild and window == EVERYTHING:
            for symbol in jobs:
                remove_unknown_hours(settings.data_dir, symbol, found.symbols[symbol].hours)
        return report


def _build_one(one: SymbolBuild, symbol: str, report: BuildReport, *, keep_going: bool) -> None:
    try:
        one.run()
    except RunError as error:
        if not keep_going:
            raise
        report.failed[symbol] = error


class CheckpointWriter:
    """Keeps the checkpoint and the report as hours come in."""

    def __init__(self, found: Checkpoint, settings: Settings, report: BuildReport, progress: Progress | None) -> None:
        self._found, self._settings, self._report, self._progress = found, settings, report, progress
        self._saved_s = -_SAVE_S

    @property
    def symbols(self) -> dict[str, SymbolEntry]:
        """What is known of each symbol."""
        return self._found.symbols

    def note(self, symbol: str, hour_ms: int, hour: HourEntry) -> None:
        """Take note of an hour that was computed."""
        self._report.hours[symbol] = self._report.hours.get(symbol, 0) + 1
        rows = self._report.rows.setdefault(symbol, {})
        for one in hour.slices.values():
            for kind, count in one.rows.items():
                rows[kind] = rows.get(kind, 0) + count
        if time.monotonic() - self._saved_s >= _SAVE_S:  # what a crash forgets is computed again, to the same bytes
            checkpoint.save(self._found, self._settings.state_dir)
            self._saved_s = time.monotonic()
        if self._progress:
            self._progress(symbol, hour_ms, hour)

    def take(self, message: _Message) -> None:
        """Take what a worker says after an hour."""
        symbol, hour_ms, data = message
        self._found.symbols[symbol] = entry = msgspec.msgpack.decode(data, type=SymbolEntry)
        self.note(symbol, hour_ms, entry.hours[hour_ms])


def _build_side_by_side(jobs: Sequence[Job], count: int, writer: CheckpointWriter) -> None:
    context = multiprocessing.get_context("spawn")  # the same on every platform, and safe with threads
    messages: SimpleQueue[_Message] = context.SimpleQueue()
    threads = os.environ.get("POLARS_MAX_THREADS")
    os.environ["POLARS_MAX_THREADS"] = "1"  # workers inherit it: a core each
    try:
        with ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker, initargs=(messages,)) as pool:
            entries = [writer.symbols.get(job.symbol, SymbolEntry()) for job in jobs]
            futures: set[Future[tuple[str, bytes]]] = {
                pool.submit(_work, job, msgspec.msgpack.encode(entry)) for job, entry in zip(jobs, entries, strict=True)
            }
            try:
                _listen(futures, messages, writer)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        if threads is None:
            del os.environ["POLARS_MAX_THREADS"]
        else:
            os.environ["POLARS_MAX_THREADS"] = threads


def _listen(futures: set[Future[tuple[str, bytes]]], messages: SimpleQueue[_Message], writer: CheckpointWriter) -> None:
    """Take messages until every worker is done; a fault of one is raised once its hours so far are kept."""
    while futures:
        done, futures = wait(futures, timeout=0.1, return_when=FIRST_COMPLETED)
        while not messages.empty():
            writer.take(messages.get())
        for one in done:
            symbol, data = one.result()
            writer.symbols[symbol] = msgspec.msgpack.decode(data, type=SymbolEntry)


def _nothing(_hour_ms: int, _hour: HourEntry) -> None:
    """Take note of nothing."""


def _start_worker(messages: SimpleQueue[_Message]) -> None:
    global _messages  # noqa: PLW0603  # a worker process has one queue for its life
    _messages = messages
    ignore_interrupts()
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """End this process at once when the one that holds the lock is gone: the next build must not meet us."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job, data: bytes) -> tuple[str, bytes]:
    entry = msgspec.msgpack.decode(data, type=SymbolEntry)

    def note(hour_ms: int, _hour: HourEntry) -> None:
        if _messages is not None:
            _messages.put((job.symbol, hour_ms, msgspec.msgpack.encode(entry)))

    SymbolBuild(job, entry, effective_ledger(read_ledger(job.settings.spool_dir)), note).run()
    return job.symbol, msgspec.msgpack.encode(entry)


def _lock(settings: Settings) -> AbstractContextManager[None]:
    busy = f"{settings.state_dir}: expected to be the only build of this dataset, found another at work"
    return exclusive(settings.state_dir / BUILD_LOCK, busy=busy, wait_s=_LOCK_S)


def _open_checkpoint(settings: Settings, *, rebuild: bool, window: Window) -> Checkpoint:
    fingerprint = settings.fingerprint()
    fresh = Checkpoint(fingerprint, __version__, spec_version=SPEC_VERSION)
    found = checkpoint.load(settings.state_dir)
    if found is None:
        if not (rebuild and window == EVERYTHING):
            _refuse_other_parts(settings, fingerprint)
        return fresh
    if rebuild and window == EVERYTHING:
        others = {symbol: entry for symbol, entry in found.symbols.items() if symbol not in settings.symbols}
        if not others or (found.params_fingerprint == fingerprint and found.spec_version == SPEC_VERSION):
            fresh.symbols = others
            return fresh
    checkpoint.check_parameters(found, fingerprint)
    return found


def _refuse_other_parts(settings: Settings, fingerprint: str) -> None:
    """Refuse to continue parts whose checkpoint is gone and that say of themselves that they are others."""
    for facts in sample_metadata(settings.data_dir, skip_damaged=True):  # a build writes a damaged part again
        found = facts.get("params_fingerprint", "")
        checkpoint.refuse_others(found, fingerprint, facts.get("spec_version", ""))


def _symbols_with_files(settings: Settings) -> list[str]:
    """Return the symbols that the spool has something of, the largest first so that the cores finish together."""
    sizes: dict[str, int] = {}
    streams = {settings.trade_stream, settings.source}
    for file in list_sources(settings.spool_dir, set(settings.symbols), streams):
        on_disk = sum(path.stat().st_size for path in (file.plain, file.sealed) if path is not None)
        sizes[file.symbol] = sizes.get(file.symbol, 0) + on_disk
    return sorted(sizes, key=lambda symbol: (-sizes[symbol], symbol))
