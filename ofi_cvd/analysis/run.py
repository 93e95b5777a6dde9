"""One analysis from tables to files: read each symbol, judge its signals, correct for many tests, write everything once."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl

from ofi_cvd import __version__
from ofi_cvd.analysis import events as event_study
from ofi_cvd.analysis import impact as price_impact
from ofi_cvd.analysis.buckets import ROUND_TRIP_BPS
from ofi_cvd.analysis.metrics import FOLD_TABLE, METRICS, SLICE_COLUMNS, THRESHOLD_TABLE, adjusted, judge, thin
from ofi_cvd.analysis.parameters import SIGNALS, Parameters
from ofi_cvd.analysis.quintiles import QUINTILE_TABLE
from ofi_cvd.analysis.report import render
from ofi_cvd.analysis.source import Source, fingerprints, hashes
from ofi_cvd.analysis.steps import Tell, begin_worker, listening, tell_run
from ofi_cvd.common.files import write_whole
from ofi_cvd.common.times import stamp
from ofi_cvd.dataset.quotes import Quotes
from ofi_cvd.errors import RunError
from ofi_cvd.schemas import SPEC_VERSION

TABLES: Final[dict[str, pl.Schema]] = {
    "metrics": METRICS,
    "thresholds": THRESHOLD_TABLE,
    "quintiles": QUINTILE_TABLE,
    "folds": FOLD_TABLE,
    "event_paths": event_study.PATHS,
    "event_wins": event_study.WINS,
}
IMPACT_TABLES: Final[dict[str, pl.Schema]] = {
    "impact_half_hours": price_impact.HALF_HOURS,
    "impact": price_impact.SUMMARY,
    "impact_depth": price_impact.DEPTH,
}
CSV_TABLES: Final = ("metrics", "impact", "event_wins")
Tables = dict[str, pl.DataFrame]
Progress = Callable[[int, str], None]


@dataclass(frozen=True)
class Result:
    """The tables of a run by name, the facts of `run.json`, and where they were written."""

    tables: Tables
    facts: dict[str, object]
    folder: Path

    def strongest(self, count: int = 10) -> list[tuple[str, ...]]:
        """Return the whole-sample rows of largest |ic| as texts: symbol, signal, horizon, n, ic, interval, adjusted p."""
        whole = self.tables["metrics"].filter((pl.col("slice_kind") == "all") & pl.col("p_adjusted").is_not_null())
        best = whole.sort(pl.col("ic").abs(), descending=True, maintain_order=True).head(count)
        return [
            (
                str(row["symbol"]), str(row["signal"]), f"{row['horizon_s']} s", f"{row['n']}", f"{row['ic']:.4f}",
                f"{row['ic_lo']:.3f} .. {row['ic_hi']:.3f}", f"{row['p_adjusted']:.2g}",
            )
            for row in best.iter_rows(named=True)
        ]  # fmt: skip


@dataclass(frozen=True)
class _Findings:
    tables: Tables
    facts: dict[str, object]


def analyse(
    root: Path,
    parameters: Parameters,
    out: Path,
    *,
    name: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """Analyse a published dataset and write `out/<run>/`; the same inputs and parameters give the same bytes.

    Args:
        root: the dataset (`DATA_DIR`).
        parameters: the question.
        out: folder of runs (`ARTIFACTS_DIR/analysis`).
        name: folder of this run; by default window and parameters make it.
        workers: processes; by default two, or fewer where there are fewer cores or symbols.
        progress: called after each step with how many there are and the words of the one that is over.

    Raises:
        InputError: nothing published, an unknown symbol, or an empty window.
        RunError: the dataset changed while it was read.
    """
    source = Source(root, parameters.start_ms, parameters.end_ms)
    parameters = replace(parameters, symbols=source.choose(parameters.symbols))
    first, last = source.span(parameters.symbols)
    source = Source(root, first, last + 1)  # rows that arrive from now on are not part of this run
    parts = source.parts(parameters.symbols)
    facts: dict[str, object] = {
        "package_version": __version__,
        "spec_version": SPEC_VERSION,
        "window": {"start_ms": first, "end_ms": last + 1},
        "parameters": asdict(parameters),
        "dataset_fingerprints": fingerprints(parts),
        "inputs": hashes(root, parts),
    }
    findings = list(_each_symbol(source, parameters, workers, _counted(parameters, progress)))
    if not set(parts) <= set(source.parts(parameters.symbols)):
        raise RunError(f"{root}: expected tables that stay while they are read, found some replaced: run it again")
    facts["symbols"] = {symbol: found.facts for symbol, found in zip(parameters.symbols, findings, strict=True)}
    tables = _joined([found.tables for found in findings], TABLES | (IMPACT_TABLES if parameters.impact else {}))
    for tested in ("metrics", "event_wins"):
        tables[tested] = adjusted(tables[tested])
    facts["tests"] = {tested: tables[tested].get_column("p_value").count() for tested in ("metrics", "event_wins")}
    facts["rows"] = {table: frame.height for table, frame in tables.items()}
    result = Result(tables, facts, out / (name or run_name(first, last + 1, parameters)))
    _write(result)
    return result


def run_name(start_ms: int, end_ms: int, parameters: Parameters) -> str:
    """Return the folder's name: the window in whole seconds and the first eight digits of the parameters' SHA-256."""
    return f"{stamp(start_ms)}_{stamp(end_ms)}_{parameters.digest()[:8]}"


def _counted(parameters: Parameters, progress: Progress | None) -> Tell | None:
    """Return what takes the words of a step; steps are the signals of each symbol, and its events and impact."""
    if progress is None:
        return None
    total = len(parameters.symbols) * (len(parameters.signals) + 1)
    return lambda step: progress(total, step)


def _each_symbol(source: Source, parameters: Parameters, workers: int | None, tell: Tell | None) -> Iterator[_Findings]:
    """Study the symbols, in processes of their own where there is more than one; the order is that of the symbols."""
    count = min(workers or min(2, os.cpu_count() or 1), len(parameters.symbols))
    tasks = [(source, parameters, symbol) for symbol in parameters.symbols]
    if count <= 1:
        yield from (_study(*task, tell or (lambda _: None)) for task in tasks)
        return
    context = multiprocessing.get_context("spawn")
    with (
        listening(context, tell) as way,
        ProcessPoolExecutor(
            count, mp_context=context, max_tasks_per_child=1, initializer=begin_worker, initargs=way
        ) as pool,
    ):
        yield from pool.map(_study, *zip(*tasks, strict=True), [tell_run] * len(tasks))


def _study(source: Source, parameters: Parameters, symbol: str, tell: Tell) -> _Findings:
    """Study one symbol, table by table, so that only one table is in memory at a time."""
    quotes = source.quotes(symbol, parameters.price, parameters.win_secs)
    tier = source.fee_tier(symbol)
    cost = parameters.cost_bps if parameters.cost_bps is not None else ROUND_TRIP_BPS[tier or "TM"]
    facts: dict[str, object] = {"fee_tier": tier, "cost_bps": cost, "quotes": len(quotes.times)}
    facts["gaps"] = len(quotes.gaps.starts)
    tables: dict[str, list[pl.DataFrame]] = {table: [] for table in TABLES | IMPACT_TABLES}
    used: dict[str, object] = {}
    for signal in parameters.signals:
        kind = SIGNALS[signal]
        rows, step = thin(source.read(symbol, kind, ["ts_ms", signal, *SLICE_COLUMNS]), signal, parameters.max_rows)
        used[signal] = {"table": kind, "every_kth_row": step, "rows": rows.height}
        judged = judge(rows, symbol, signal, quotes, parameters.horizons_s, folds=parameters.folds, cost_bps=cost)
        tables["metrics"].append(judged.metrics)
        tables["thresholds"].append(judged.thresholds)
        tables["quintiles"].append(judged.quintiles)
        tables["folds"].append(judged.folds)
        tell(f"{symbol} {signal}")
    study = event_study.study(
        source.read(symbol, "events", event_study.EVENT_COLUMNS),
        source.read(symbol, "fusion", event_study.LABEL_COLUMNS),
        symbol, quotes, parameters.horizons_s, controls=parameters.controls, seed=parameters.seed,
    )  # fmt: skip
    tables["event_paths"].append(study.paths)
    tables["event_wins"].append(study.wins)
    if parameters.impact:
        for table, frame in _impact(source, parameters, symbol, quotes).items():
            tables[table].append(frame)
    tell(f"{symbol} events")
    facts["signals"] = used
    return _Findings({table: pl.concat(frames) for table, frames in tables.items() if frames}, facts)


def _impact(source: Source, parameters: Parameters, symbol: str, quotes: Quotes) -> Tables:
    mids = quotes if parameters.price == "mid" else source.quotes(symbol, "mid", parameters.win_secs)
    book = source.read(symbol, "ofi", ["ts_ms", "ofi_value", "ofi_l1", "n_updates", "mid"])
    flow = price_impact.flows(book, source.read(symbol, "cvd", ["ts_ms", "delta"]))
    found = price_impact.impact(flow, price_impact.depth_proxy(book), mids, symbol, seed=parameters.seed)
    return {"impact_half_hours": found.half_hours, "impact": found.summary, "impact_depth": found.depth}


def _joined(findings: list[Tables], schemas: dict[str, pl.Schema]) -> Tables:
    return {
        table: pl.concat([schema.to_frame(), *(tables[table] for tables in findings if table in tables)])
        for table, schema in schemas.items()
    }


def _write(result: Result) -> None:
    """Write every file beside its place and rename it; `run.json` comes last and says the run is whole."""
    result.folder.mkdir(parents=True, exist_ok=True)
    (result.folder / "run.json").unlink(missing_ok=True)
    for table, frame in result.tables.items():
        parquet = io.BytesIO()
        frame.write_parquet(parquet)
        write_whole(result.folder / f"{table}.parquet", parquet.getvalue())
    for table in CSV_TABLES:
        if table in result.tables:
            write_whole(result.folder / f"{table}.csv", result.tables[table].write_csv(line_terminator="\n").encode())
    write_whole(result.folder / "report.html", render(result.tables, result.facts).encode())
    write_whole(result.folder / "run.json", (json.dumps(result.facts, indent=1, sort_keys=True) + "\n").encode())
