"""The summary of a run on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ofi_cvd.common.terminal import table
from ofi_cvd.common.times import show_time
from ofi_cvd.quality.verdicts import WORDS


def show_summary(summary: Mapping[str, Any], path: Path, console: Console) -> None:
    """Print what `run_summary_*.json` says; the hashes stay in the file."""
    run, gates = summary["run"], summary["gates"]
    failed = [gate["name"] for gate in gates if gate["verdict"] == "fail"]
    waiting = [gate["name"] for gate in gates if gate["passed"] is None]
    span = f"{show_time(run['start_ms'])} to {show_time(run['end_ms'])} UTC"
    verdict = f"FAIL: {', '.join(failed)}" if failed else f"PASS: all {len(gates) - len(waiting)} judged gates"
    verdict += f", {len(waiting)} not judged ({', '.join(waiting)})" if waiting else ""
    shortened = (
        "" if run["complete"] else f" (planned until {show_time(run['planned_end_ms'])}; the same command continues)"
    )
    style = "bold red" if failed else "bold green"
    console.print(f"{verdict}; {span}{shortened}", style=style, markup=False, soft_wrap=True)
    for note in summary["notes"]:
        console.print(note, markup=False, soft_wrap=True)
    listing = table("Gates", "gate", "", "detail")
    for gate in gates:
        colour = {"fail": "red", "pass": None}.get(gate["verdict"], "dim")
        listing.add_row(gate["name"], WORDS[gate["verdict"]], gate["detail"], style=colour)
    console.print(listing, markup=False)
    console.print(_rows(summary["symbols"]), markup=False)
    console.print(_quality(summary["symbols"]), markup=False)
    parts = summary["parts"]
    for line in (
        f"parameters {summary['params_fingerprint']}",
        f"{parts['count']:,} parts, {parts['bytes'] / 1e6:,.1f} MB; their SHA-256 are in {path}",
        f"next: {summary['analyse']}",
    ):
        console.print(line, markup=False, soft_wrap=True)


def _rows(symbols: Mapping[str, Any]) -> Table:
    kinds = list(next(iter(symbols.values()))["rows"])
    listing = table("Rows", "symbol", *(f">{kind}" for kind in kinds), ">p50 ms", ">p99 ms")
    for symbol, told in symbols.items():
        latency = told["latency_ms"]
        figures = [_ms(latency["p50_corrected"]), _ms(latency["p99_corrected"])]
        listing.add_row(symbol, *(f"{told['rows'][kind]:,}" for kind in kinds), *figures)
    return listing


def _quality(symbols: Mapping[str, Any]) -> Table:
    scenes = list(next(iter(symbols.values()))["scenario_2x2"])
    listing = table(
        "Gaps and coverage", "symbol", ">gaps", ">ids missing", ">breaks", *(f">{scene}" for scene in scenes)
    )
    for symbol, told in symbols.items():
        gaps = [str(told[name]) for name in ("trade_gaps", "trade_ids_missing", "book_breaks")]
        listing.add_row(symbol, *gaps, *(f"{told['scenario_2x2'][scene]:,}" for scene in scenes))
    return listing


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
