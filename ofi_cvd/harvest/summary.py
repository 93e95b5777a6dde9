"""The end of a run as one JSON document (schema `run_summary.json`): the figures, the verdict, the proof, what to do next."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import polars as pl

from ofi_cvd import __version__
from ofi_cvd.common.files import write_text
from ofi_cvd.common.times import iso_time
from ofi_cvd.harvest.digests import hour_digests
from ofi_cvd.harvest.run import Run
from ofi_cvd.publish.parts import Part, current_parts
from ofi_cvd.quality.files import summary_path
from ofi_cvd.quality.report import Report, encode
from ofi_cvd.schemas import SPEC_VERSION
from ofi_cvd.settings import Settings

Document = dict[str, Any]
_PER_SYMBOL: Final = (
    "rows", "minutes", "empty_minutes", "book_minutes", "book_empty_minutes", "book_empty_minute_rate", "trade_gaps",
    "trade_ids_missing", "book_breaks", "duplicates_received", "duplicates_stored", "latency_ms", "events",
)  # fmt: skip


def write_summary(report: Report, run: Run, settings: Settings, reports: Iterable[Path]) -> Path:
    """Write the summary of a run whose whole window `report` judged."""
    return write_text(
        summary_path(settings.artifacts_dir, run.stamp), encode(summarise(report, run, settings, reports))
    )


def summarise(report: Report, run: Run, settings: Settings, reports: Iterable[Path]) -> Document:
    """Return the summary.

    Raises:
        OSError: a published part cannot be read.
    """
    judged, manifest, window = report.document(), report.manifest(), report.window
    coverage = manifest["symbols"]
    return {
        "spec": SPEC_VERSION,
        "package_version": __version__,
        "run": {
            "start_ms": window.start_ms,
            "end_ms": window.end_ms,
            "planned_end_ms": run.end_ms,
            "hours": window.hours,
            "starts": run.starts,
            "complete": window.end_ms == run.end_ms,
        },
        "market": settings.market,
        "params_fingerprint": judged["params_fingerprint"],
        "parameters": settings.parameters(),
        "run_tag": report.run_tag,
        "passed": report.passed,
        "gates": [gate.document() for gate in report.gates],
        "symbols": {
            symbol: {name: judged["symbols"][symbol][name] for name in _PER_SYMBOL}
            | {name: coverage[symbol][name] for name in ("scenario_2x2", "session")}
            for symbol in window.symbols
        },
        "scene_coverage_miss": report.scene_coverage_miss,
        "ledger": judged["ledger"],
        "clock": judged["clock"],
        "notes": judged["notes"],
        "reports": [path.relative_to(settings.artifacts_dir).as_posix() for path in reports],
        "hours": hour_digests(settings.data_dir, window.symbols, window.start_ms, window.end_ms),
        "parts": published_parts(settings.data_dir, window.symbols, window.start_ms, window.end_ms),
        "analyse": analysis_command(settings, window.symbols, window.start_ms, window.end_ms),
    }


def published_parts(data_dir: Path, symbols: Iterable[str], start_ms: int, end_ms: int) -> Document:
    """Return every published part of the window with its SHA-256; paths are relative to the dataset."""
    listed = current_parts(data_dir, symbols=set(symbols), start_ms=start_ms, end_ms=end_ms)
    parts = [part for part in listed if part.start_ms >= start_ms or _end_ms(part) > start_ms]
    files = []
    for part in parts:
        with part.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        files.append({"path": part.path.relative_to(data_dir).as_posix(), "bytes": part.size, "sha256": digest})
    return {"count": len(files), "bytes": sum(part.size for part in parts), "files": files}


def _end_ms(part: Part) -> int:
    """Return the end of a part that began before the run: an hour that was merged, or a slice of another run."""
    seconds = pl.read_parquet_metadata(part.path).get("slice_secs", "3600")
    return part.start_ms + int(seconds) * 1000


def analysis_command(settings: Settings, symbols: Iterable[str], start_ms: int, end_ms: int) -> str:
    """Return the command that analyses the window."""
    words = [
        "ofi", "analyze", "--symbols", ",".join(symbols), "--start", iso_time(start_ms), "--end", iso_time(end_ms),
        "--data-dir", settings.data_dir.as_posix(), "--artifacts-dir", settings.artifacts_dir.as_posix(),
    ]  # fmt: skip
    return shlex.join(words)
