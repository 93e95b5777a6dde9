"""Figures of the rows published last, for metrics and panel."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ofi_cvd.dataset.reader import Dataset as Tables
from ofi_cvd.harvest.messages import Dataset
from ofi_cvd.harvest.run import Run
from ofi_cvd.quality.figures import run_all
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings

RECENT_MS: Final = 900_000  # `cvd_scale_median` and `cvd_floor_hit_rate` speak of the last quarter of an hour


def dataset_figures(run: Run, settings: Settings, end_ms: int) -> Dataset | None:
    """Return the figures of the run's last quarter of an hour before `end_ms`; None before its first slice.

    Raises:
        OfiCvdError: the dataset cannot be read.
    """
    if end_ms <= run.start_ms:
        return None
    window = Window(max(run.start_ms, end_ms - RECENT_MS), end_ms, run.symbols)
    with Tables(
        Path(settings.data_dir),
        symbols=set(run.symbols),
        start_ms=window.start_ms,
        end_ms=end_ms,
        whole_hours=True,
    ) as dataset:
        names, values = ("winsor", "scenario_now"), window.values(settings)
        answers = dataset.read(lambda connection: run_all(connection, names, values))
    return Dataset(
        {str(row["symbol"]): row for row in answers["winsor"].to_dicts()},
        {str(row["symbol"]): row["scenario_2x2"] for row in answers["scenario_now"].to_dicts()},
    )
