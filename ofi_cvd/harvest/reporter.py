"""Reports of a run, each by a process of its own: its memory goes back, its failure costs a report and nothing else."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from ofi_cvd.common.times import HOUR_MS, hour_of
from ofi_cvd.dataset.reader import Dataset
from ofi_cvd.harvest.child import Channel
from ofi_cvd.harvest.messages import Judged, Message, Task
from ofi_cvd.harvest.run import Run
from ofi_cvd.harvest.summary import write_summary
from ofi_cvd.quality.coverage import Counts, Coverage, counts_of_manifest, counts_of_rows
from ofi_cvd.quality.figures import run_all
from ofi_cvd.quality.files import KINDS, report_path
from ofi_cvd.quality.page import write_page
from ofi_cvd.quality.report import Report, judge_window, write_documents
from ofi_cvd.quality.verdicts import failing
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

    An hour's report costs what its hour costs: coverage so far is summed from the manifests of the hours before.

    Raises:
        OfiCvdError: the dataset cannot be read.
        OSError: a report cannot be written.
    """
    paths: list[Path] = []
    if task.what == "hour":
        found, paths = _hour(settings, run, task.hour_ms, run.end_ms)
    elif task.what == "check":
        found = judge_window(Window(run.start_ms, task.end_ms, run.symbols), settings, charts=False, received=False)
    else:
        last_ms = hour_of(task.end_ms - 1)
        for hour_ms in sorted({*run.unreported(task.end_ms), last_ms} - {*run.reported}):
            paths += _hour(settings, run, hour_ms, task.end_ms)[1]
        found = judge_window(Window(run.start_ms, task.end_ms, run.symbols), settings)
        paths += [*write_documents(found, settings.artifacts_dir, total=True)]
        paths += [write_page(found, settings.artifacts_dir, total=True)]
        paths += [write_summary(found, run, settings, _all_reports(settings, run, paths))]
    send(_judged(task, found, paths))


def _hour(settings: Settings, run: Run, hour_ms: int, end_ms: int) -> tuple[Report, list[Path]]:
    window = Window(*run.hour(hour_ms, end_ms), run.symbols)
    found = judge_window(window, settings, before=coverage_before(settings, run, hour_ms))
    paths = [*write_documents(found, settings.artifacts_dir), write_page(found, settings.artifacts_dir)]
    failed = failing(found.gates)
    log.info("harvest.hour_reported", extra={"hour": window.label, "run_tag": found.run_tag, "failed": failed})
    return found, paths


def coverage_before(settings: Settings, run: Run, hour_ms: int) -> Coverage | None:
    """Return what the run counted before an hour, from the manifests of its hours; None before its second hour.

    An hour whose manifest is not there is counted again from its rows.
    """
    if hour_ms <= run.start_ms:
        return None
    counts = Counts()
    for at_ms in range(hour_of(run.start_ms), hour_ms, HOUR_MS):
        window = Window(*run.hour(at_ms), run.symbols)
        path = report_path(settings.artifacts_dir, "manifest", window.label)
        counts += counts_of_manifest(json.loads(path.read_bytes())) if path.is_file() else _counted(settings, window)
    return Coverage(Window(run.start_ms, hour_ms, run.symbols), counts, {})


def _counted(settings: Settings, window: Window) -> Counts:
    with Dataset(
        settings.data_dir,
        symbols=set(window.symbols),
        start_ms=window.start_ms,
        end_ms=window.end_ms,
        whole_hours=True,
    ) as dataset:
        names, values = ("coverage_scene", "coverage_session"), window.values(settings)
        found = dataset.read(lambda connection: run_all(connection, names, values))
    return counts_of_rows(*(found[name].to_dicts() for name in names))


def _all_reports(settings: Settings, run: Run, written: list[Path]) -> list[Path]:
    """Return the reports of the hours before as well."""
    labels = [Window(*run.hour(hour_ms), run.symbols).label for hour_ms in run.reported]
    before = [report_path(settings.artifacts_dir, kind, label) for label in labels for kind in KINDS]
    return [path for path in before if path.is_file()] + written


def _judged(task: Task, found: Report, paths: list[Path]) -> Judged:
    verdicts = {gate.name: gate.verdict for gate in found.gates}
    written = tuple(str(path) for path in paths)
    return Judged(task.what, task.hour_ms, verdicts, found.run_tag, found.scene_coverage_miss, written)
