"""Where reports are: the one home of their file names."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

ReportKind = Literal["quality", "manifest", "page"]

_NAMES: Final[dict[ReportKind, str]] = {
    "quality": "dq_{label}.json",
    "manifest": "slices_manifest_{label}.json",
    "page": "dq_{label}.html",
}
KINDS: Final[tuple[ReportKind, ...]] = ("quality", "manifest", "page")


def report_path(artifacts_dir: Path, kind: ReportKind, label: str, *, total: bool = False) -> Path:
    """Return the file of a report on the hour `label` (`YYYYMMDD_HH`), or of a whole run that ends in it.

    Example:
        >>> report_path(Path("artifacts"), "manifest", "20251016_00", total=True).as_posix()
        'artifacts/dq_reports/slices_manifest_total_20251016_00.json'
    """
    return artifacts_dir / "dq_reports" / _NAMES[kind].format(label=("total_" if total else "") + label)


def summary_path(artifacts_dir: Path, run_stamp: str) -> Path:
    """Return the summary of the run that began at `run_stamp` (`YYYYMMDD_HHMM`)."""
    return artifacts_dir / f"run_summary_{run_stamp}.json"


def log_path(artifacts_dir: Path, run_stamp: str) -> Path:
    """Return the log of the run that began at `run_stamp` (`YYYYMMDD_HHMM`)."""
    return artifacts_dir / "run_logs" / f"harvest_{run_stamp}.log"
