"""The command of a run: its lock, log, metrics, panel and signals, and the way from verdict to result."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rich.live import Live

from ofi_cvd.binance.endpoints import resolve
from ofi_cvd.collect.panel import REFRESH_S, wants_panel
from ofi_cvd.common.signals import stop_signals
from ofi_cvd.common.terminal import err
from ofi_cvd.errors import OfiCvdError, UsageError
from ofi_cvd.harvest import run as runs
from ofi_cvd.harvest.panel import panel
from ofi_cvd.harvest.parent import Harvest, facts_of, harvest_lock
from ofi_cvd.harvest.run_log import RunLog, stderr_unless
from ofi_cvd.harvest.run_state import RunState
from ofi_cvd.monitor.server import MetricsServer
from ofi_cvd.quality.files import log_path
from ofi_cvd.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: whether no gate failed, and where its summary is."""

    passed: bool
    summary: Path


def run_harvest(settings: Settings, *, new: bool = False) -> Outcome:
    """Run to the end of the window, or until SIGINT or SIGTERM (Windows: also Ctrl-Break).

    Args:
        settings: everything.
        new: start another run, even if one is not over.

    Raises:
        UsageError: settings that cannot work, or that are not those of the unfinished run.
        LockedError: another harvest is at work on the dataset.
        RunError: the reports could not be written, or there was nothing to judge.
    """
    resolve(settings.endpoint, settings.market)
    check_folders(settings)
    with harvest_lock(settings):
        now_ms = time.time_ns() // 1_000_000
        run = begun(settings, now_ms, new=new)
        state = RunState(run, settings)
        with _logging(settings, run) as run_log, MetricsServer(state.metrics, settings.metrics_addr) as server:
            log.info("harvest.began" if run.starts == 1 else "harvest.continued", extra=facts_of(run))
            if server.port:
                address = f"{settings.metrics_addr.rpartition(':')[0]}:{server.port}"
                log.info("harvest.metrics", extra={"url": f"http://{address}/metrics"})
            try:
                return _run(settings, run, state, run_log)
            except OfiCvdError as error:
                log.error("harvest.failed", extra={"reason": str(error)})  # noqa: TRY400  # a sentence, not a trace
                raise
            except Exception:
                log.exception("harvest.crashed")
                raise


def begun(settings: Settings, now_ms: int, *, new: bool) -> runs.Run:
    """Return the run that a start is about, kept in all its homes.

    Raises:
        UsageError: the unfinished run was started with other settings.
        PublishError: what is kept of it cannot be read or written.
    """
    found = None if new else runs.load(*runs.homes(settings))
    run = runs.begin_or_continue(found, settings, now_ms, new=new)
    runs.save(run, *runs.homes(settings))
    return run


def check_folders(settings: Settings) -> None:
    """Make the run's folders and write in each, so that one that cannot be ends the run before a child is started.

    Raises:
        UsageError: a folder cannot be made or written.
    """
    for folder in (settings.spool_dir, settings.data_dir, settings.state_dir, settings.artifacts_dir):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise UsageError(
                f"{folder}: expected a folder that can be written, found {error.strerror or error}"
            ) from None


def _run(settings: Settings, run: runs.Run, state: RunState, run_log: RunLog) -> Outcome:
    with _Panel(state, run_log) as drawing:
        harvest = Harvest(settings, run, state, run_log, drawing.draw)
        with _stopping(harvest):
            passed = harvest.work()
    if state.final is None:
        raise UsageError("expected a verdict, found none")
    return Outcome(passed, Path(state.final.paths[-1]))


class _Panel:
    """Draws about once a second where a person is looking; nothing elsewhere."""

    def __init__(self, state: RunState, run_log: RunLog) -> None:
        self._state, self._run_log, self._drawn_s = state, run_log, 0.0
        self._live = Live(console=err, auto_refresh=False, redirect_stdout=False) if wants_panel(err) else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def draw(self) -> None:
        if self._live is not None and time.monotonic() - self._drawn_s >= REFRESH_S:
            self._drawn_s = time.monotonic()
            self._live.update(panel(self._state, self._run_log.recent, time.time_ns() // 1_000_000), refresh=True)


@contextlib.contextmanager
def _logging(settings: Settings, run: runs.Run) -> Iterator[RunLog]:
    run_log = RunLog(log_path(settings.artifacts_dir, run.stamp), stderr_unless(panel=wants_panel(err)))
    root = logging.getLogger()
    root.addHandler(run_log)
    logging.getLogger("ofi_cvd").setLevel(logging.INFO)
    try:
        yield run_log
    finally:
        root.removeHandler(run_log)
        run_log.close()


@contextlib.contextmanager
def _stopping(harvest: Harvest) -> Iterator[None]:
    """Let the first signal end the run in order, and a second one at once."""

    def ask() -> None:
        if harvest.stop:
            raise KeyboardInterrupt
        harvest.stop = True

    with stop_signals(ask):
        yield
