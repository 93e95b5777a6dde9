"""The quality report and the slices manifest as JSON documents (SPEC 13), and their files."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ofi_cvd import __version__
from ofi_cvd.dataset.reader import Dataset
from ofi_cvd.quality import gates
from ofi_cvd.quality.figures import Figures, gather
from ofi_cvd.quality.window import Window
from ofi_cvd.schemas import SPEC_VERSION
from ofi_cvd.settings import Settings
from ofi_cvd.spool.disk import fsync_folder

Document = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """One judged window: the figures, the verdicts and the documents made of them."""

    window: Window
    settings: Settings
    figures: Figures
    gates: tuple[gates.Gate, ...]
    run_tag: str

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(gate.passed for gate in self.gates)

    @property
    def scene_coverage_miss(self) -> int:
        """The number of (symbol, scenario) pairs with too few trades."""
        return sum(len(short) for short in gates.scene_misses(self.figures, self.window).values())

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
            "gates": [asdict(gate) for gate in self.gates],
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
        own, used = self.settings.fingerprint(), self.figures.published.params_fingerprint
        if used is not None and used != own:
            told.append(f"The dataset was built with parameters {used[:12]}, the settings now are {own[:12]}.")
        return told + [hint + "." for hint in gates.active_hints(self.figures, self.settings)]

    def _symbol(self, symbol: str) -> Document:
        figures = self.figures
        minutes = figures.by_symbol("empty_minutes")[symbol]
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
            "duplicates_received": self._received(symbol),
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

    def _latency(self, symbol: str) -> dict[str, float | None]:
        row = self.figures.by_symbol("latency").get(symbol, {})
        offset = self.figures.rows("clock")[0]["offset_ms"]
        raw = {name: row.get(name) for name in ("p50", "p90", "p99")}
        true = {
            f"{name}_corrected": None if figure is None or offset is None else figure + offset
            for name, figure in raw.items()
        }
        return raw | {"offset": offset} | true


def judge_window(window: Window, settings: Settings, *, charts: bool = True, received: bool | None = None) -> Report:
    """Open what the settings name, run the queries, judge the window.

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
        return judge_dataset(dataset, window, settings, charts=charts, received=received)


def judge_dataset(
    dataset: Dataset, window: Window, settings: Settings, *, charts: bool = True, received: bool | None = None
) -> Report:
    """Run the queries over an open dataset and judge the window."""
    figures = gather(dataset, window, settings, charts=charts, received=received)
    verdicts = gates.judge(figures, window, settings)
    return Report(window, settings, figures, verdicts, gates.run_tag(verdicts))


def write_documents(report: Report, artifacts_dir: Path, *, total: bool = False) -> list[Path]:
    """Write the report and the manifest under `artifacts_dir/dq_reports`; return the paths.

    A `total` report speaks of a whole run and is named so, beside the hourly ones.
    """
    folder = artifacts_dir / "dq_reports"
    label = ("total_" if total else "") + report.window.label
    documents = {f"dq_{label}.json": report.document(), f"slices_manifest_{label}.json": report.manifest()}
    return [write_text(folder / name, encode(document)) for name, document in documents.items()]


def encode(document: Mapping[str, Any]) -> str:
    """Return a document as JSON text; a figure that broken data made NaN or infinite is null there."""
    return json.dumps(_finite(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> Path:
    r"""Write a file whole (UTF-8, `\\n`): beside, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    with beside.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    with contextlib.suppress(PermissionError):
        fsync_folder(path.parent)
    return path


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
    return {name: int(row[column]) for name, column in gates.SCENES.items()}
