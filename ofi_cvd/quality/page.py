"""The quality report as one HTML page that needs no network: charts by Plotly, its script inlined once."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any, Final

import plotly.io
from plotly.offline import get_plotlyjs

from ofi_cvd.common.files import write_text
from ofi_cvd.quality.charts import all_charts
from ofi_cvd.quality.files import report_path
from ofi_cvd.quality.report import Report
from ofi_cvd.quality.terminal import figures, verdict
from ofi_cvd.quality.verdicts import WORDS

_CONFIG: Final = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}
_HALF: Final = {"scene", "session"}
_STYLE: Final = """
body { margin: 0; background: #f5f7fa; color: #1f2933; font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1220px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { font-size: 22px; margin: 0 0 12px; } h2 { font-size: 16px; margin: 0 0 8px; }
.verdict { padding: 12px 16px; border-radius: 6px; font-weight: 600; margin-bottom: 8px; }
.pass { background: #e3f6ea; color: #0b5b2e; } .fail { background: #fde8e8; color: #9b1c1c; }
.notes { margin: 0 0 16px; padding-left: 20px; }
.card { background: white; border: 1px solid #e4e7eb; border-radius: 6px; padding: 16px; margin-top: 16px; overflow-x: auto; }
.half { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; }
@media (max-width: 900px) { .half { grid-template-columns: 1fr; } }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 600; border-bottom: 2px solid #cbd2d9; padding: 6px 10px; }
td { border-bottom: 1px solid #e4e7eb; padding: 6px 10px; vertical-align: top; }
.n { text-align: right; white-space: pre; font-variant-numeric: tabular-nums; }
#symbols { font-size: 13px; } #symbols td, #symbols th { padding: 5px 7px; }
.tag { font-weight: 600; } .tag.pass, .tag.fail { background: none; }
.none { color: #616e7c; } footer { color: #616e7c; font-size: 13px; margin-top: 16px; overflow-wrap: anywhere; }
"""


def write_page(report: Report, artifacts_dir: Path, *, total: bool = False) -> Path:
    """Write the page beside the JSON report; return its path. The report must have been gathered with charts."""
    return write_text(report_path(artifacts_dir, "page", report.window.label, total=total), render(report))


def render(report: Report) -> str:
    """Return the page: verdict, gates, symbols, charts."""
    document = report.document()
    notes = "".join(f"<li>{escape(note)}</li>" for note in document["notes"])
    state = "pass" if report.passed else "fail"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>Quality {escape(report.window.label)}: {report.run_tag}</title><style>{_STYLE}</style>
<script>{get_plotlyjs()}</script></head><body><main>
<h1>Quality of the recorded dataset</h1>
<div class="verdict {state}">{escape(verdict(report))}</div>
<ul class="notes">{notes}</ul>
<section class="card"><h2>Gates</h2>{_gates(report)}</section>
<section class="card"><h2>Symbols</h2>{_symbols(document)}</section>
{_charts(report)}
<footer>run tag {escape(report.run_tag)} &middot; market {escape(document["market"])} &middot; parameters
{escape(document["params_fingerprint"])} &middot; package {escape(document["package_version"])}</footer>
</main></body></html>
"""


def _gates(report: Report) -> str:
    rows = []
    for gate in report.gates:
        value, threshold = figures(gate)
        state, word = gate.verdict, WORDS[gate.verdict]
        rows.append(
            f'<tr><td>{gate.name}</td><td class="tag {state}">{word}</td><td class="n">{escape(value)}</td>'
            f'<td class="n">{escape(threshold)}</td><td>{escape(gate.detail)}</td></tr>'
        )
    head = '<tr><th>gate</th><th></th><th class="n">value</th><th class="n">threshold</th><th>detail</th></tr>'
    return f'<table id="gates">{head}{"".join(rows)}</table>'


def _symbols(document: dict[str, Any]) -> str:
    heads: tuple[str, ...] = (
        "symbol",
        "trades",
        "ofi rows",
        "events",
        "empty min",
        "no book min",
        "dup. in spool",
        "dup. dropped",
        "ids missing",
        "book breaks",
    )
    heads += ("p50 ms", "p90 ms", "p99 ms", "floor used", "slowest tps")
    rows = []
    for symbol, facts in document["symbols"].items():
        latency = facts["latency_ms"]
        suffix = "_corrected" if latency["offset"] is not None else ""
        cells = [
            _count(facts["rows"]["prices"]),
            _count(facts["rows"]["ofi"]),
            _count(facts["events"]),
            _count(facts["empty_minutes"]),
            _count(facts["book_empty_minutes"]),
            _count(facts["duplicates_received"]["in_spool"]),
            _count(facts["duplicates_received"]["dropped"]),
            _count(facts["trade_ids_missing"]),
            _count(facts["book_breaks"]),
            *(_number(latency[name + suffix]) for name in ("p50", "p90", "p99")),
            "" if facts["cvd_floor_hit_rate"] is None else f"{facts['cvd_floor_hit_rate']:.0%}",
            _number(facts["slowest_window"]["slowest_tps"], 2),
        ]
        rows.append(
            f"<tr><td>{escape(symbol)}</td>" + "".join(f'<td class="n">{cell}</td>' for cell in cells) + "</tr>"
        )
    head = f"<th>{heads[0]}</th>" + "".join(f'<th class="n">{name}</th>' for name in heads[1:])
    return f'<table id="symbols"><tr>{head}</tr>{"".join(rows)}</table>'


def _charts(report: Report) -> str:
    cards = {}
    for name, (heading, figure) in all_charts(report).items():
        body = '<p class="none">No rows in the window.</p>'
        if figure is not None:
            body = plotly.io.to_html(
                figure, full_html=False, include_plotlyjs=False, div_id=f"chart-{name}", config=_CONFIG
            )
        cards[name] = f'<section class="card"><h2>{escape(heading)}</h2>{body}</section>'
    half = "".join(cards.pop(name) for name in sorted(_HALF))
    return f'<div class="half">{half}</div>' + "".join(cards.values())


def _count(value: int | None) -> str:
    return "not read" if value is None else f"{value:,}"


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"
