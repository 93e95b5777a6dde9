"""Figures of the rows published so far, for metrics and panel: queries over the current hour, manifests of the hours before."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import polars as pl

from ofi_cvd.common.times import HOUR_MS, hour_label
from ofi_cvd.dataset.reader import Dataset as Tables
from ofi_cvd.harvest.messages import Dataset
from ofi_cvd.harvest.run import Run
from ofi_cvd.quality.figures import Figures, run_all
from ofi_cvd.quality.gates import SCENES, scene_misses
from ofi_cvd.quality.published import Published
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings

RECENT_MS: Final = 900_000  # `cvd_scale_median` and `cvd_floor_hit_rate` speak of the last quarter of an hour
_COLUMNS: Final = ("n", *SCENES.values())


def dataset_figures(run: Run, settings: Settings, end_ms: int) -> Dataset | None:
    """Return the figures of the run up to `end_ms`; None before its first slice.

    Raises:
        OfiCvdError: the dataset cannot be read.
    """
    if end_ms <= run.start_ms:
        return None
    reported = [hour for hour in run.reported if manifest_path(settings, hour).is_file()]
    open_ms = max([run.start_ms, *(hour + HOUR_MS for hour in reported)])
    recent_ms = max(run.start_ms, end_ms - RECENT_MS)
    if open_ms >= end_ms:
        open_ms = recent_ms = end_ms - run.slice_ms
    with Tables(
        Path(settings.data_dir),
        symbols=set(run.symbols),
        start_ms=min(open_ms, recent_ms),
        end_ms=end_ms,
        whole_hours=True,
    ) as dataset:
        recent = Window(recent_ms, end_ms, run.symbols).values(settings)
        current = Window(open_ms, end_ms, run.symbols).values(settings)
        answers = dataset.read(
            lambda connection: (
                run_all(connection, ("winsor", "scenario_now"), recent)
                | run_all(connection, ("coverage_scene",), current)
            )
        )
    counts = _coverage(answers["coverage_scene"], [manifest_path(settings, hour) for hour in reported])
    return Dataset(
        {str(row["symbol"]): row for row in answers["winsor"].to_dicts()},
        _misses(counts, Window(run.start_ms, end_ms, run.symbols)),
        {str(row["symbol"]): row["scenario_2x2"] for row in answers["scenario_now"].to_dicts()},
    )


def manifest_path(settings: Settings, hour_ms: int) -> Path:
    """Return where the manifest of an hour is."""
    return settings.artifacts_dir / "dq_reports" / f"slices_manifest_{hour_label(hour_ms)}.json"


def _coverage(current: pl.DataFrame, manifests: Iterable[Path]) -> dict[str, Counter[str]]:
    """Return trades in all and by scenario: of the current hour, and of the hours whose manifests are written."""
    counts = {str(row["symbol"]): Counter({name: row[name] for name in _COLUMNS}) for row in current.to_dicts()}
    for path in manifests:
        told: dict[str, Any] = json.loads(path.read_text("utf-8"))["symbols"]
        for symbol, found in told.items():
            count = counts.setdefault(symbol, Counter())
            count["n"] += found["rows"]["prices"]
            for name, column in SCENES.items():
                count[column] += found["scenario_2x2"][name]
    return counts


def _misses(counts: dict[str, Counter[str]], window: Window) -> int:
    frame = pl.DataFrame(
        [{"symbol": symbol} | {name: count[name] for name in _COLUMNS} for symbol, count in counts.items()]
    )
    figures = Figures({"coverage_scene": frame}, Published((), "files", None))
    return sum(len(short) for short in scene_misses(figures, window).values())
