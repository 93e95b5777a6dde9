"""The quality report as one HTML page that needs no network: charts by Plotly, its script inlined once."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

from ofi_cvd.common.files import write_text
from ofi_cvd.quality.charts import all_charts
from ofi_cvd.quality.files import report_path
from ofi_cvd.quality.interactive import holder, note, scripts, style
from ofi_cvd.quality.report import Report
from ofi_cvd.quality.terminal import figures, verdict
from ofi_cvd.quality.verdicts import WORDS

_HALF: Final = {"scene", "session"}


def write_page(report: Report, artifacts_dir: Path, *, total: bool = False) -> Path:
    """Write the page beside the JSON report; return its path. The report must have been gathered with charts."""
    return write_text(report_path(artifacts_dir, "page", report.window.label, total=total), render(report))


def render(report: Report) -> str:
    """Return the page: verdict, gates, symbols, charts."""
    document = report.document()
    notes = "".join(f"<li>{escape(note)}</li>" for note in document["notes"])
    state = "pass" if report.passed else "fail"
    charts = all_charts(report)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>Quality {escape(report.window.label)}: {report.run_tag}</title><style>{style()}</style></head><body><main>
<h1>Quality of the recorded dataset</h1>
<div class="verdict {state}">{escape(verdict(report))}</div>
<ul class="notes">{notes}</ul>
<section><h2>Gates</h2>{_gates(report)}</section>
<section><h2>Symbols</h2>{_symbols(document)}</section>
{_cards(charts)}
<footer>run tag {escape(report.run_tag)} &middot; market {escape(document["market"])} &middot; parameters
{escape(document["params_fingerprint"])} &middot; package {escape(document["package_version"])}</footer>
</main>
{scripts({f"chart-{name}": figure for name, (_, figure) in charts.items() if figure is not None})}
</body></html>
"""


def _gates(report: Report) -> str:
    rows = []
    for gate in report.gates:
        value, threshold = figures(gate)
        rows.append(
            _row(
                ("gate", gate.name, ""), ("verdict", WORDS[gate.verdict], f"tag {gate.verdict}"), ("value", value, "n"),
                ("threshold", threshold, "n"), ("detail", gate.detail, "wide"),
            )
        )  # fmt: skip
    return (
        f'<table id="gates">{_head("gate", "", ">value", ">threshold", "detail")}<tbody>{"".join(rows)}</tbody></table>'
    )


_SYMBOL_COLUMNS: Final = (
    "trades", "ofi rows", "events", "minutes without a trade", "minutes without a book", "repeated in the spool",
    "repeated, dropped", "ids missing", "book breaks", "latency p50, ms", "p90, ms", "p99, ms", "floor used",
    "slowest trades/s",
)  # fmt: skip


def _symbols(document: dict[str, Any]) -> str:
    rows = []
    for symbol, facts in document["symbols"].items():
        latency, repeated = facts["latency_ms"], facts["duplicates_received"]
        suffix = "_corrected" if latency["offset"] is not None else ""
        counts = (
            facts["rows"]["prices"], facts["rows"]["ofi"], facts["events"], facts["empty_minutes"],
            facts["book_empty_minutes"], repeated["in_spool"], repeated["dropped"], facts["trade_ids_missing"],
            facts["book_breaks"],
        )  # fmt: skip
        cells = [
            *(_count(count) for count in counts),
            *(_number(latency[name + suffix]) for name in ("p50", "p90", "p99")),
            "" if facts["cvd_floor_hit_rate"] is None else f"{facts['cvd_floor_hit_rate']:.0%}",
            _number(facts["slowest_window"]["slowest_tps"], 2),
        ]
        named = [(name, cell, "n") for name, cell in zip(_SYMBOL_COLUMNS, cells, strict=True)]
        rows.append(_row(("symbol", symbol, ""), *named))
    head = _head("symbol", *(">" + name for name in _SYMBOL_COLUMNS))
    return f'<table id="symbols">{head}<tbody>{"".join(rows)}</tbody></table>'


def _head(*names: str) -> str:
    cells = (
        f'<th class="n">{escape(name[1:])}</th>' if name[:1] == ">" else f"<th>{escape(name)}</th>" for name in names
    )
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def _row(*cells: tuple[str, str, str]) -> str:
    """Return a table row; each cell carries its column's name, which a narrow page shows beside the value."""
    parts = (f'<td data-name="{escape(name)}" class="{kind}">{escape(text)}</td>' for name, text, kind in cells)
    return f"<tr>{''.join(parts)}</tr>"


def _cards(charts: Mapping[str, tuple[str, Any]]) -> str:
    cards = {}
    for name, (heading, figure) in charts.items():
        body = '<p class="none">No rows in the window.</p>'
        button = ""
        if figure is not None:
            body = note(figure) + holder(f"chart-{name}", figure.layout.height)
            linked = (figure.layout.meta or {}).get("linked")
            button = '<button class="reset" type="button">whole window</button>' if linked else ""
        cards[name] = f"<section>{button}<h2>{escape(heading)}</h2>{body}</section>"
    half = "".join(cards.pop(name) for name in sorted(_HALF))
    return f'<div class="half">{half}</div>' + "".join(cards.values())


def _count(value: int | None) -> str:
    return "not read" if value is None else f"{value:,}"


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"
