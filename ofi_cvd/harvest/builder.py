"""The builder as a child of a run: a round of builds at the end of every slice, never in the recorder's way."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Final

from ofi_cvd.common.times import HOUR_MS, iso_time
from ofi_cvd.errors import OfiCvdError, PublishError, RunError
from ofi_cvd.harvest.child import Channel
from ofi_cvd.harvest.figures import dataset_figures
from ofi_cvd.harvest.messages import FINISH, Alive, Built, Message
from ofi_cvd.harvest.run import Run, homes, load
from ofi_cvd.publish import checkpoint
from ofi_cvd.publish.checkpoint import HourEntry
from ofi_cvd.publish.compact import compact
from ofi_cvd.publish.parse_cache import ParseCache
from ofi_cvd.publish.run import BuildReport, build
from ofi_cvd.settings import Settings
from ofi_cvd.spool.layout import list_files

FLUSH_S: Final = 0.4  # a receipt is on the disk within so many seconds (docs/specification/spool.md#writing)
RETRIES_S: Final = (0.5, 2.0)  # between three tries
AGAIN_S: Final = (1.0, 2.0, 5.0)  # after a round that left slices due; then once a slice
LAST_TRIES: Final = 3

log = logging.getLogger(__name__)
Send = Callable[[Message], None]
Wait = Callable[[float], bool]


def run_builder(settings: Settings, run: Run, connection: Connection) -> None:
    """Build until the parent says stop or is gone."""
    with Channel(connection) as channel:
        if hasattr(os, "nice"):
            os.nice(5)  # recording comes first
        Builder(settings, run, channel.send, channel.asked.wait).work()
        if channel.wish == FINISH:
            Builder(settings, run, channel.send, time_out).finish()


def time_out(seconds: float) -> bool:
    """Wait without being asked to stop."""
    time.sleep(seconds)
    return False


class Builder:
    """Rounds of builds; see the module.

    Args:
        settings: parameters and folders.
        run: the run.
        send: takes messages for the parent.
        wait: waits so many seconds; True if asked to stop meanwhile.
        clock: seconds since the epoch.
    """

    def __init__(
        self, settings: Settings, run: Run, send: Send, wait: Wait, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings, self._run, self._send, self._wait, self._clock = settings, run, send, wait, clock
        self._cache = ParseCache()
        self._write_errors = 0
        self.published_to = published(settings)
        self._compacted_to = 0

    def work(self) -> None:
        """Build now and after every slice until asked to stop."""
        stop, again = False, iter(AGAIN_S)
        self.round(self._settings.symbols)
        while not stop:
            left_s = self._next_s() - self._clock()
            if self._due():
                left_s = min(left_s, next(again, left_s))
            else:
                again = iter(AGAIN_S)
            stop = self._wait(max(0.05, left_s))
            if not stop and (due := self._due()):
                self.round(due)

    def round(self, symbols: Sequence[str]) -> None:
        """Publish what is complete of some symbols, with three tries; tell the parent how it went."""
        began = time.monotonic()
        failed = self._build(symbols, live=True)
        self._cache.turn()
        self._send(Built(dict(self.published_to), time.monotonic() - began, self._write_errors, failed))
        self._figures()
        if not failed:
            self._compact()

    def finish(self) -> None:
        """Publish everything that the spool holds, the slice that was begun too."""
        self._cache = ParseCache()
        began = time.monotonic()
        for _ in range(LAST_TRIES):
            failed = self._build(self._settings.symbols, live=False)
            if not failed:
                break
        self._send(Built(dict(self.published_to), time.monotonic() - began, self._write_errors, failed, final=True))
        self._figures()
        self._compact()

    def _next_s(self) -> float:
        """Return when the next slice can be complete on the disk: its end, the grace, the flush."""
        wait_s, slice_s = self._settings.grace_secs + FLUSH_S, self._run.slice_ms / 1000
        return ((self._clock() - wait_s) // slice_s + 1) * slice_s + wait_s

    def _due(self) -> list[str]:
        """Return the symbols without the last slice of the run that can be complete."""
        end_ms = round((self._next_s() - self._settings.grace_secs - FLUSH_S) * 1000) - self._run.slice_ms
        if end_ms <= self._run.start_ms:
            return []
        return [symbol for symbol in self._settings.symbols if self.published_to.get(symbol, 0) < end_ms]

    def _build(self, symbols: Sequence[str], *, live: bool) -> dict[str, str]:
        """Build the symbols that the spool has; return those that failed at the third try, and why."""
        symbols = sorted({file.symbol for file in list_files(self._settings.spool_dir, symbols=symbols)})
        failed: dict[str, OfiCvdError] = {}
        for wait_s in (*RETRIES_S, None):
            if not symbols:
                return {}
            failed = self._once(symbols, live=live)
            if wait_s is None or not failed or self._wait(wait_s):
                break
            log.warning("harvest.build_again", extra={"symbols": sorted(failed), "reason": _first(failed)})
            symbols = sorted(failed)
        for symbol, error in failed.items():
            self._write_errors += isinstance(error, PublishError)
            log.error("harvest.slice_due", extra={"symbol": symbol, "reason": str(error)})
        return {symbol: str(error) for symbol, error in failed.items()}

    def _once(self, symbols: Sequence[str], *, live: bool) -> dict[str, OfiCvdError]:
        settings = self._settings.model_copy(update={"symbols": tuple(symbols)})
        try:
            report = build(
                settings,
                slice_secs=self._run.slice_ms // 1000,
                live=live,
                workers=1,
                progress=self._note,
                cache=self._cache if live else None,
                keep_going=True,
            )
        except OfiCvdError as error:
            return dict.fromkeys(symbols, error)
        self._tell(report)
        return dict(report.failed)

    def _note(self, symbol: str, _hour_ms: int, hour: HourEntry) -> None:
        ends = [one.end_ms for one in hour.slices.values()]
        self.published_to[symbol] = max([self.published_to.get(symbol, 0), *ends])
        self._send(Alive())

    def _tell(self, report: BuildReport) -> None:
        if report.hours:
            rows = sum(sum(kinds.values()) for kinds in report.rows.values())
            log.info("harvest.built", extra={"symbols": len(report.hours), "rows_of_open_hours": rows})

    def _compact(self) -> None:
        """Merge the slices of hours that are final, once an hour; one that cannot be merged waits for the next time."""
        before_ms = final_before(self._settings)
        if before_ms <= self._compacted_to:
            return
        self._compacted_to = before_ms
        try:
            done = compact(self._settings.data_dir, state_dir=self._settings.state_dir, before_ms=before_ms)
        except (OfiCvdError, OSError) as error:
            log.warning("harvest.compaction_failed", extra={"reason": str(error)})
            return
        if done.merged:
            log.info(
                "harvest.compacted", extra={"before": iso_time(before_ms), "hours": done.merged, "files": done.slices}
            )

    def _figures(self) -> None:
        """Tell the parent what the rows look like; a figure that fails costs a figure."""
        try:
            run = load(*homes(self._settings)) or self._run
            end_ms = min(run.end_ms, max(self.published_to.values(), default=0))
            if (found := dataset_figures(run, self._settings, end_ms)) is not None:
                self._send(found)
        except (RunError, OSError) as error:
            log.warning("harvest.figures_failed", extra={"reason": str(error)})


def published(settings: Settings) -> dict[str, int]:
    """Return the end of each symbol's last published slice, from the checkpoint.

    Raises:
        PublishError: the checkpoint cannot be read.
        UsageError: the dataset was built with other parameters.
    """
    known = checkpoint.load(settings.state_dir)
    if known is not None:
        checkpoint.check_parameters(known, settings.fingerprint())
    ends = {
        symbol: max((one.end_ms for hour in entry.hours.values() for one in hour.slices.values()), default=0)
        for symbol, entry in (known.symbols if known else {}).items()
    }
    return {symbol: end_ms for symbol, end_ms in ends.items() if end_ms}


def final_before(settings: Settings) -> int:
    """Return the end of the last hour before which every published hour of every symbol is final; 0 without one.

    Raises:
        PublishError: the checkpoint cannot be read.
    """
    known = checkpoint.load(settings.state_dir)
    hours = [
        (hour_ms, entry.final)
        for owner in (known.symbols.values() if known else ())
        for hour_ms, entry in owner.hours.items()
    ]
    open_ms = min((hour_ms for hour_ms, final in hours if not final), default=None)
    last_ms = max((hour_ms + HOUR_MS for hour_ms, final in hours if final), default=0)
    return last_ms if open_ms is None else min(open_ms, last_ms)


def _first(failed: dict[str, OfiCvdError]) -> str:
    return str(next(iter(failed.values())))
