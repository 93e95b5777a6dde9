"""The quality report and the slices manifest as JSON documents, and their files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ofi_cvd import __version__
from ofi_cvd.common.files import write_text
from ofi_cvd.dataset.reader import Dataset
from ofi_cvd.quality import gates, parameters
from ofi_cvd.quality.coverage import SCENES, Coverage, counts_of_rows
from ofi_cvd.quality.figures import Figures, gather
from ofi_cvd.quality.files import ReportKind, report_path
from ofi_cvd.quality.verdicts import Gate, failing, run_tag
from ofi_cvd.quality.window import Window
from ofi_cvd.schemas import SPEC_VERSION
from ofi_cvd.settings import Settings

Document = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """One judged window: the figures, the verdicts and the documents made of them.

    Attributes:
        settings: with the parameters that the dataset was built with; `today` the settings as they are now.
        coverage: what the coverage gates judged; in an hourly report it reaches back to the run's start.
    """

    window: Window
    settings: Settings
    figures: Figures
    coverage: Coverage
    gates: tuple[Gate, ...]
    today: Settings | None = None

    @property
    def run_tag(self) -> str:
        """`ok`, or which kinds of gates failed."""
        return run_tag(self.gates)

    @property
    def passed(self) -> bool:
        """Whether no gate failed; what was not judged does not count."""
        return not failing(self.gates)

    @property
    def scene_coverage_miss(self) -> int:
        """The judged pairs of (symbol, scenario) and (symbol, session) that are short."""
        return self.coverage.misses(self.settings)

    def document(self) -> Document:
        """Return `dq_*.json` (schema `dq.json`)."""
        clock = self.figures.rows("clock")[0]
        return {
            "spec": SPEC_VERSION,
            "package_version": __version__,
            "window": {"start_ms": self.window.start_ms, "end_ms": self.window.end_ms},
            "market": self.settings.market,
            "params_fingerprint": self.figures.published.params_fingerprint or self.settings.fingerprint(),
            "run_tag": self.run_tag,
            "gates": [gate.document() for gate in self.gates],
            "coverage_window": {"start_ms": self.coverage.window.start_ms, "end_ms": self.coverage.window.end_ms},
            "symbols": {symbol: self._symbol(symbol) for symbol in self.window.symbols},
            "clock": clock,
            "ledger": self.figures.rows("ledger_events"),
            "scene_coverage_miss": self.scene_coverage_miss,
            "notes": self.notes(),
        }

    def manifest(self) -> Document:
        """Return `slices_manifest_*.json` (schema `slices_manifest.json`)."""
        scenes, counts = self.figures.by_symbol("coverage_scene"), self.figures.counts()
        symbols: Document = {
            symbol: {"scenario_2x2": _scenes(scenes[symbol]), "session": {}, "rows": counts[symbol]}
            for symbol in self.window.symbols
        }
        for row in self.figures.rows("coverage_session"):
            symbols[row["symbol"]]["session"][row["session"]] = _scenes(row)
        return {
            "hour": self.window.label,
            "window": {"start_ms": self.window.start_ms, "end_ms": self.window.end_ms},
            "symbols": symbols,
            "scene_coverage_miss": self.scene_coverage_miss,
            "run_tag": self.run_tag,
        }

    def notes(self) -> list[str]:
        """Return what a reader of the verdict should know besides."""
        counts = self.figures.counts()
        absent = [symbol for symbol in self.window.symbols if not any(counts[symbol].values())]
        told = []
        if len(absent) == len(self.window.symbols):
            told.append("The window has no rows at all.")
        elif absent:
            told.append(f"Without any row: {', '.join(absent)}.")
        told += parameters.notes(self.settings, self.today or self.settings)
        return told + [hint + "." for hint in gates.active_hints(self.figures, self.settings)]

    def _symbol(self, symbol: str) -> Document:
        figures = self.figures
        minutes, books = figures.by_symbol("empty_minutes")[symbol], figures.by_symbol("book_minutes")[symbol]
        ids = figures.by_symbol("trade_ids").get(symbol, {})
        winsor = figures.by_symbol("winsor").get(symbol, {})
        breaks = figures.by_symbol("book_breaks").get(symbol, {})
        slowest = figures.by_symbol("slowest_window").get(symbol, {})
        stored = [row for row in figures.rows("duplicates_stored") if row["symbol"] == symbol]
        return {
            "rows": figures.counts()[symbol],
            "minutes": minutes["minutes"],
            "empty_minutes": minutes["empty_minutes"],
            "empty_minute_rate": minutes["empty_minute_rate"],
            "book_minutes": books["minutes"],
            "book_empty_minutes": books["book_empty_minutes"],
            "book_empty_minute_rate": books["book_empty_minute_rate"],
            "duplicates_received": {"in_spool": self._received(symbol), "dropped": self._dropped(symbol)},
            "duplicates_stored": {row["kind"]: row["duplicates"] for row in stored},
            "trade_gaps": ids.get("trade_gaps", 0),
            "trade_ids_missing": ids.get("trade_ids_missing", 0),
            "trade_ids_absent": ids.get("ids_absent", 0),
            "book_breaks": breaks.get("book_breaks", 0),
            "latency_ms": self._latency(symbol),
            "events": sum(row["n"] for row in figures.rows("signals") if row["symbol"] == symbol),
            "cvd_scale_median": winsor.get("scale_median"),
            "cvd_floor_hit_rate": winsor.get("floor_hit_rate"),
            "winsorised": winsor.get("winsorised", 0),
            "slowest_window": {
                name: slowest.get(name) for name in ("slowest_trades", "slowest_tps", "slowest_end_ms", "busiest_tps")
            },
        }

    def _received(self, symbol: str) -> int | None:
        if self.figures.received is None:
            return None
        found: dict[str, int] = {row["symbol"]: row["duplicates"] for row in self.figures.received.to_dicts()}
        return found.get(symbol, 0)

    def _dropped(self, symbol: str) -> int:
        """Return what the recorder dropped as repetitions, all streams of a symbol together."""
        return sum(row["dropped"] for row in self.figures.rows("duplicates_dropped") if row["symbol"] == symbol)

    def _latency(self, symbol: str) -> dict[str, float | None]:
        row = self.figures.by_symbol("latency").get(symbol, {})
        offset = self.figures.rows("clock")[0]["offset_ms"]
        raw = {name: row.get(name) for name in ("p50", "p90", "p99")}
        true = {
            f"{name}_corrected": None if figure is None or offset is None else figure + offset
            for name, figure in raw.items()
        }
        return raw | {"offset": offset} | true


def judge_window(
    window: Window,
    settings: Settings,
    *,
    charts: bool = True,
    received: bool | None = None,
    before: Coverage | None = None,
) -> Report:
    """Open what the settings name, run the queries, judge the window.

    Args:
        window: the run, or a part of it.
        settings: folders and thresholds.
        charts: also gather what only charts need.
        received: read the spool's raw trades to count received duplicates; by default for windows up to six hours.
        before: what the hours before counted; the coverage gates then judge from their start.

    Raises:
        OfiCvdError: the dataset or the checkpoint cannot be read.
    """
    with Dataset(
        Path(settings.data_dir),
        Path(settings.spool_dir),
        symbols=set(window.symbols),
        start_ms=window.start_ms,
        end_ms=window.end_ms,
        whole_hours=True,
    ) as dataset:
        return judge_dataset(dataset, window, settings, charts=charts, received=received, before=before)


def judge_dataset(
    dataset: Dataset,
    window: Window,
    settings: Settings,
    *,
    charts: bool = True,
    received: bool | None = None,
    before: Coverage | None = None,
) -> Report:
    """Run the queries over an open dataset and judge the window; for the arguments see `judge_window`."""
    today, settings = settings, parameters.dataset_settings(settings)
    figures = gather(dataset, window, settings, charts=charts, received=received)
    counts = counts_of_rows(figures.rows("coverage_scene"), figures.rows("coverage_session"))
    start_ms = window.start_ms if before is None else before.window.start_ms
    coverage = Coverage(
        Window(start_ms, window.end_ms, window.symbols),
        counts if before is None else before.counts + counts,
        figures.first_ms,
    )
    return Report(window, settings, figures, coverage, gates.judge(figures, window, settings, coverage), today)


def write_documents(report: Report, artifacts_dir: Path, *, total: bool = False) -> list[Path]:
    """Write the report and the manifest under `artifacts_dir/dq_reports`; return the paths.

    A `total` report speaks of a whole run and is named so, beside the hourly ones.
    """
    documents: dict[ReportKind, Document] = {"quality": report.document(), "manifest": report.manifest()}
    return [
        write_text(report_path(artifacts_dir, kind, report.window.label, total=total), encode(document))
        for kind, document in documents.items()
    ]


def encode(document: Mapping[str, Any]) -> str:
    """Return a document as JSON text; a figure that broken data made NaN or infinite is null there."""
    return json.dumps(_finite(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@cache
def schema(name: str) -> Document:
    """Return a JSON schema of `quality/schemas`, such as `dq` or `slices_manifest`."""
    found: Document = json.loads((Path(__file__).parent / "schemas" / f"{name}.json").read_text("utf-8"))
    return found


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _scenes(row: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(row[column]) for name, column in SCENES.items()}
