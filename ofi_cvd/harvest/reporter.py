"""Reports of a run, each by a process of its own: its memory goes back, its failure costs a report and nothing else."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.harvest.child import Channel
from ofi_cvd.harvest.messages import Judged, Message, Task
from ofi_cvd.harvest.run import Run
from ofi_cvd.harvest.summary import write_summary
from ofi_cvd.quality.page import write_page
from ofi_cvd.quality.report import Report, judge_window, write_documents
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings

log = logging.getLogger(__name__)


def run_reporter(settings: Settings, run: Run, task: Task, connection: Connection) -> None:
    """Write the reports of one task and end."""
    with Channel(connection) as channel:
        if hasattr(os, "nice"):
            os.nice(10)
        report(settings, run, task, channel.send)


def report(settings: Settings, run: Run, task: Task, send: Callable[[Message], None]) -> None:
    """Write the reports of one task and say so.

    Raises:
        OfiCvdError: the dataset cannot be read.
        OSError: a report cannot be written.
    """
    paths: list[Path] = []
    if task.what == "hour":
        paths = _hour(settings, run, task.hour_ms, run.end_ms)
    if task.what == "final":
        last_ms = (task.end_ms - 1) // HOUR_MS * HOUR_MS
        for hour_ms in {*run.unreported(task.end_ms), last_ms} - {*run.reported}:
            paths += _hour(settings, run, hour_ms, task.end_ms)
        whole = judge_window(Window(run.start_ms, task.end_ms, run.symbols), settings)
        paths += [*write_documents(whole, settings.artifacts_dir, total=True)]
        paths += [write_page(whole, settings.artifacts_dir, total=True)]
        paths += [write_summary(whole, run, settings, _all_reports(settings, run, paths))]
    else:
        whole = judge_window(Window(run.start_ms, task.end_ms, run.symbols), settings, charts=False, received=False)
    send(_judged(task, whole, paths))


def _hour(settings: Settings, run: Run, hour_ms: int, end_ms: int) -> list[Path]:
    found = judge_window(Window(*run.hour(hour_ms, end_ms), run.symbols), settings)
    paths = [*write_documents(found, settings.artifacts_dir), write_page(found, settings.artifacts_dir)]
    failed = [gate.name for gate in found.gates if not gate.passed]
    log.info("harvest.hour_reported", extra={"hour": found.window.label, "run_tag": found.run_tag, "failed": failed})
    return paths


def _all_reports(settings: Settings, run: Run, written: list[Path]) -> list[Path]:
    """Return the reports of the hours before as well."""
    folder = settings.artifacts_dir / "dq_reports"
    labels = [Window(*run.hour(hour_ms), run.symbols).label for hour_ms in run.reported]
    names = [
        name for label in labels for name in (f"dq_{label}.json", f"slices_manifest_{label}.json", f"dq_{label}.html")
    ]
    return [path for name in names if (path := folder / name).is_file()] + written


def _judged(task: Task, whole: Report, paths: list[Path]) -> Judged:
    passed = {gate.name: gate.passed for gate in whole.gates}
    return Judged(task.what, task.hour_ms, passed, whole.run_tag, tuple(str(path) for path in paths))
