"""The one-click run: starts recorder and builder, watches them, has the reports written, judges the result.

See docs/harvest.md, docs/specification/quality.md.

Recorder, builder and reports are processes of their own. Whatever happens to the builder or to a report, the recorder
goes on; whatever happens to this process, its children end in order, for their pipes end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from multiprocessing.connection import wait
from typing import Any, Final

from ofi_cvd.common.files import exclusive
from ofi_cvd.common.times import HOUR_MS, iso_time
from ofi_cvd.errors import PublishError, RunError, UsageError
from ofi_cvd.harvest import process_main
from ofi_cvd.harvest import run as runs
from ofi_cvd.harvest.messages import FINISH, STOP, Built, Counted, Dataset, Judged, Line, Task
from ofi_cvd.harvest.run_log import RunLog
from ofi_cvd.harvest.run_state import RunState
from ofi_cvd.harvest.supervise import Child
from ofi_cvd.settings import Settings

TICK_S: Final = 0.5
ALERTS_S: Final = 5.0
RECORDER_PATIENCE_S: Final = 60.0
BUILDER_PATIENCE_S: Final = 900.0
REPORT_PATIENCE_S: Final = 900.0
REPORT_AGAIN_S: Final = 60.0  # an hour's report that failed is tried again
CATCH_UP_S: Final = 10.0  # a restart after the window records so long: what is missing is found and fetched
REPAIRS_S: Final = 60.0  # the end waits so long for fetches under way
RECORDER_STOP_S: Final = 20.0
FINAL_TRIES: Final = 3
SPARE_HOURS: Final = 1.0  # the recorder stops by itself so long after the window, should nobody tell it to
FIRST_CHECK_SLICES: Final = 5

log = logging.getLogger(__name__)


class Harvest:
    """One start of a run; see the module.

    Args:
        settings: parameters, endpoint and folders.
        run: the run, begun or continued.
        state: where what is known is kept.
        run_log: the log file.
        draw: called every tick; draws the panel.

    Attributes:
        stop: set from outside (a signal) to end the run early, in order.
    """

    def __init__(
        self, settings: Settings, run: runs.Run, state: RunState, run_log: RunLog, draw: Callable[[], None]
    ) -> None:
        self._settings, self._run, self._state, self._run_log, self._draw = settings, run, state, run_log, draw
        left_hours = max(0.0, run.end_ms / 1000 - time.time()) / 3600 + SPARE_HOURS
        recording = settings.model_copy(update={"run_hours": left_hours})
        self._recorder = Child("recorder", process_main.recorder, lambda: (recording,), patience_s=RECORDER_PATIENCE_S)
        self._builder = Child(
            "builder", process_main.builder, lambda: (settings, self._run), patience_s=BUILDER_PATIENCE_S
        )
        self._task: Task | None = None
        self._reporter = Child(
            "reporter", process_main.reporter, lambda: (settings, self._run, self._task), patience_s=REPORT_PATIENCE_S
        )
        self._kept: list[Child] = []
        self._tended_s = self._report_at_s = 0.0
        self._check_ms = run.start_ms + FIRST_CHECK_SLICES * run.slice_ms
        self.stop = False

    def work(self) -> bool:
        """Run to the end of the window or until `stop`; return whether no gate failed.

        Raises:
            UsageError: a child found the settings unusable.
            RunError: the final reports could not be written.
        """
        began_s = time.time()
        self._kept = [self._recorder, self._builder]
        try:
            self._pump(lambda: self.stop or time.time() >= self._record_until_s(began_s))
            self._pump(lambda: self.stop or not self._fetching(), REPAIRS_S)
            return self._end()
        finally:
            self._kept = []
            for child in (self._recorder, self._builder, self._reporter):
                child.ask(STOP)
            for child in (self._recorder, self._builder, self._reporter):
                self._pump_out(child)

    # The end of a run

    def _end(self) -> bool:
        self._kept.remove(self._recorder)
        stopped_ms = min(self._run.end_ms, time.time_ns() // 1_000_000)
        log.info("harvest.stopping", extra={"reason": "asked" if stopped_ms < self._run.end_ms else "over"})
        self._pump_out(self._recorder, STOP)
        self._builder.ask(FINISH)
        most = self._builder.restarts + FINAL_TRIES
        self._pump(lambda: self._state.is_final or self._builder.restarts > most)
        self._kept.remove(self._builder)
        end_ms = self._run.judged_end_ms(stopped_ms)
        if end_ms <= self._run.start_ms:
            raise RunError(
                f"expected at least one slice of {self._run.slice_ms // 1000} s to judge, found the run stopped before its end"
            )
        self._pump(lambda: not self._reporter.runs)
        for _ in range(FINAL_TRIES):
            self._report(Task("final", end_ms))
            self._pump(lambda: not self._reporter.runs)
            if self._state.final is not None:
                break
        if self._state.final is None:
            raise RunError("expected the final reports to be written, found the reporter failing; see the log")
        if end_ms == self._run.end_ms:
            self._keep(self._run.as_finished())
        verdict = self._state.final
        log.info("harvest.finished", extra={"run_tag": verdict.run_tag, "complete": self._run.finished})
        return "fail" not in verdict.verdicts.values()

    def _record_until_s(self, began_s: float) -> float:
        return max(self._run.end_ms / 1000 + self._settings.grace_secs, began_s + CATCH_UP_S)

    def _fetching(self) -> bool:
        stats = self._state.stats
        return stats.total("missing") > stats.total("repaired") + stats.total("unrepairable")

    def _pump_out(self, child: Child, wish: str = STOP) -> None:
        """Ask a child to end and hear it to the end; killed if it does not."""
        child.ask(wish)
        self._pump(child.has_ended, RECORDER_STOP_S)
        if not child.has_ended():
            log.error("harvest.child_killed", extra={"child": child.name})
            child.kill()

    # The loop

    def _pump(self, until: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Hear the children, keep alive who should live, show what is known, until `until` or the time is over."""
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not until() and (end_s is None or time.monotonic() < end_s):
            self._tend(time.monotonic())
            children = (self._recorder, self._builder, self._reporter)
            waits: list[Any] = [item for child in children for item in child.waits()]
            wait(waits, TICK_S) if waits else time.sleep(TICK_S)
            for child in children:
                for message in child.hear(time.monotonic()):
                    self._take(message)

    def _tend(self, now_s: float) -> None:
        for child in self._kept:
            while child.tend(now_s):  # a second look starts it again, if that is for now
                self._note_end(child, now_s)
        self._reporter.kill_if_hung(now_s)
        if self._reporter.has_ended() and self._task is not None:
            if self._reporter.status:
                log.error("harvest.report_failed", extra={"task": self._task.what, "status": self._reporter.status})
                self._report_at_s = now_s + REPORT_AGAIN_S
            self._task = None
        now_ms = time.time_ns() // 1_000_000
        self._plan_report(now_ms)
        if now_s - self._tended_s >= ALERTS_S:
            self._tended_s = now_s
            for alert in self._state.tick(now_ms, now_s):
                level = logging.WARNING if alert.fired else logging.INFO
                log.log(level, "alert.%s", "fired" if alert.fired else "over", extra={"alert": str(alert)})
        self._draw()

    def _note_end(self, child: Child, now_s: float) -> None:
        """Say that a child ended, and end the run if it never can work."""
        facts = {"child": child.name, "status": child.status, "again_in_s": child.wait_s(now_s)}
        log.warning("harvest.child_died", extra=facts)
        if child.status == UsageError.exit_code:
            raise UsageError(
                f"the {child.name} cannot work with these settings; the log says why: {self._run_log.path}"
            )

    def _take(self, message: object) -> None:
        if isinstance(message, Line):
            self._run_log.line(message.level, message.text)
        elif isinstance(message, Counted):
            self._state.counted(message)
        elif isinstance(message, Built):
            self._state.built(message)
        elif isinstance(message, Dataset):
            self._state.dataset(message)
        elif isinstance(message, Judged):
            self._state.judged(message)
            if message.what == "hour":
                self._keep(self._run.with_report(message.hour_ms))
            if message.what != "final":
                failed = [name for name, verdict in message.verdicts.items() if verdict == "fail"]
                log.info("harvest.gates_so_far", extra={"run_tag": message.run_tag, "failed": failed})

    # Reports

    def _plan_report(self, now_ms: int) -> None:
        """Have the next report written: of an hour that is published, or the first looks at a young run."""
        if self._task is not None or self._recorder not in self._kept or time.monotonic() < self._report_at_s:
            return
        hour_ms = self._run.hour_due(now_ms, self._state.published_to)
        if hour_ms is not None:
            self._report(Task("hour", self._run.hour(hour_ms)[1], hour_ms))
        elif self._check_ms + self._settings.grace_secs * 1000 + self._run.slice_ms <= now_ms < self._run.end_ms:
            end_ms, age_ms = self._check_ms, self._check_ms - self._run.start_ms
            # Looks at double the age, for an hour; from then on each hour's report brings the gates so far.
            self._check_ms = self._run.start_ms + 2 * age_ms if 2 * age_ms < HOUR_MS else self._run.end_ms
            self._report(Task("check", end_ms))

    def _report(self, task: Task) -> None:
        self._task = task
        self._reporter.start(time.monotonic())

    def _keep(self, run: runs.Run) -> None:
        self._run = self._state.run = run
        try:
            runs.save(run, *runs.homes(self._settings))
        except PublishError as error:  # a restart repeats a report; that is no reason to stop recording
            log.error("harvest.state_not_kept", extra={"reason": str(error)})  # noqa: TRY400  # a sentence, not a trace


def harvest_lock(settings: Settings) -> AbstractContextManager[None]:
    """Return the lock that makes this the only run on a dataset.

    Raises:
        LockedError: another run holds it (when it is entered).
        UsageError: the folder cannot be written.
    """
    busy = f"{settings.state_dir}: expected to be the only harvest of this dataset, found another"
    return exclusive(settings.state_dir / "harvest.lock", busy=busy)


def facts_of(run: runs.Run) -> dict[str, object]:
    """Return what the log says of a run when it starts."""
    return {
        "start": iso_time(run.start_ms),
        "end": iso_time(run.end_ms),
        "symbols": ",".join(run.symbols),
        "slice_s": run.slice_ms // 1000,
        "starts": run.starts,
        "params_fingerprint": run.params_fingerprint[:12],
    }
