"""The quality report on a terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Console

from ofi_cvd.common.terminal import table
from ofi_cvd.common.times import show_minute
from ofi_cvd.quality.coverage import SCENES
from ofi_cvd.quality.report import Report
from ofi_cvd.quality.verdicts import WORDS, Gate, Value, failing, unjudged

BOUNDS: Final = {
    "empty_minutes": "< ", "book_minutes": "< ", "duplicates": "< ", "latency": "< ", "signals": ">= ", "winsor": ">= ",
    "coverage_session": ">= ",
}  # fmt: skip


def verdict(report: Report) -> str:
    """Return the one line that a reader needs first."""
    failed, waiting = failing(report.gates), unjudged(report.gates)
    symbols = report.window.symbols
    named = ", ".join(symbols) if len(symbols) <= 3 else f"{len(symbols)} symbols"
    span = f"{show_minute(report.window.start_ms)} to {show_minute(report.window.end_ms)} UTC, {named}"
    beside = f", {len(waiting)} not judged ({', '.join(waiting)})" if waiting else ""
    judged = len(report.gates) - len(waiting)
    if not failed:
        return f"PASS: all {judged} {'judged ' if waiting else ''}gates passed{beside}; {span}"
    return f"FAIL: {len(failed)} of {len(report.gates)} gates failed ({', '.join(failed)}){beside}; {span}"


def show(report: Report, console: Console) -> None:
    """Print the verdict, the gates and the coverage."""
    console.print(verdict(report), style="bold green" if report.passed else "bold red", markup=False, soft_wrap=True)
    for note in report.notes():
        console.print(note, markup=False, soft_wrap=True)
    console.print()
    listing = table("Gates", "gate", "", ">value", ">threshold", "detail")
    for column in listing.columns[:2]:
        column.no_wrap = True
    for gate in report.gates:
        listing.add_row(
            gate.name,
            WORDS[gate.verdict],
            *figures(gate),
            gate.detail,
            style="red" if gate.failed else "dim" if gate.passed is None else None,
        )
    console.print(listing, markup=False)
    coverage = table("Trades by scenario", "symbol", ">trades", *(">" + name for name in SCENES), ">slowest tps")
    slowest = report.figures.by_symbol("slowest_window")
    for symbol, row in report.figures.by_symbol("coverage_scene").items():
        tps = slowest.get(symbol, {}).get("slowest_tps")
        counts = [f"{row[column]:,}" for column in ("n", *SCENES.values())]
        coverage.add_row(symbol, *counts, "" if tps is None else f"{tps:.2f}")
    console.print(coverage, markup=False)


def figures(gate: Gate) -> tuple[str, str]:
    """Return a gate's value and threshold as text."""
    return _text(gate.value, gate.name), BOUNDS.get(gate.name, "") + _text(gate.threshold, gate.name)


def _text(value: Value, gate: str) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return "\n".join(f"{name} {'none' if part is None else f'{part:.1f}'}" for name, part in value.items())
    if gate in {"empty_minutes", "book_minutes", "duplicates"}:
        return f"{value:.2%}"
    return f"{value:,}"
