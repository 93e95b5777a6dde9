"""The analysis as one HTML page that needs nothing but itself: tables as text, charts inlined."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import polars as pl

from ofi_cvd.analysis import charts, study_charts
from ofi_cvd.analysis.charts import ALL, Chart, shown_horizon
from ofi_cvd.common.times import HOUR_MS, show_time
from ofi_cvd.quality.interactive import holder, scripts, style

Facts = Mapping[str, object]

WORDS: Final = {
    "n": "rows", "ic": "information coefficient", "ic_lo": "IC, low", "ic_hi": "IC, high", "p_adjusted": "adjusted p",
    "hit_rate": "hit rate", "auc": "area under ROC", "pr_auc": "area under precision-recall", "brier": "Brier score",
    "ece": "calibration error", "kendall_tau": "Kendall's tau", "top5_bps": "top 5 %, bps", "bottom5_bps": "bottom 5 %, bps",
    "window_s": "window, s", "r2": "R squared", "r2_shuffled": "R squared, shuffled",
}  # fmt: skip
HOW: Final = (
    (
        "A forward return runs from the first price strictly after a row to the last price within the horizon; it is missing "
        "where the horizon is not covered or crosses a gap."
    ),
    "Signals are taken as published and never flipped: a negative coefficient says that a high signal came before a fall.",
    "Intervals and p-values allow for overlapping labels (Newey-West, fixed-b critical values).",
    (
        "Quintiles, tails and the logistic fit learn from earlier stretches only, with an embargo of the horizon; "
        "the other figures fit nothing and use every labelled row."
    ),
)


def render(tables: Mapping[str, pl.DataFrame], facts: Facts) -> str:
    """Return the report; the same tables and facts give the same text."""
    body = [_head(facts), _many_tests(tables), _whole_table(tables["metrics"])]
    drawn = list(_charts(tables))
    body += [_section(chart) for chart in drawn]
    if "impact" in tables:
        body.append(_impact_tables(tables))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Signal analysis</title>\n'
        '<link rel="icon" href="data:,">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<style>{style()}</style></head>\n<body><main>\n{''.join(body)}</main>\n"
        f"{scripts({chart.name: chart.figure for chart in drawn})}\n</body></html>\n"
    )


def _charts(tables: Mapping[str, pl.DataFrame]) -> Iterator[Chart]:
    metrics, scan = tables["metrics"], tables["thresholds"]
    yield from (charts.ic_map(metrics), charts.ic_by_horizon(metrics), charts.quintiles(tables["quintiles"], metrics))
    yield from (
        charts.direction(metrics),
        charts.tails(metrics),
        charts.thresholds(scan, metrics),
        charts.slices(metrics),
    )
    paths = tables["event_paths"]
    for symbol in paths.get_column("symbol").unique(maintain_order=True):
        yield study_charts.event_paths(paths, str(symbol))
    if tables["event_wins"].height:
        yield study_charts.event_wins(tables["event_wins"])
    if "impact" in tables and tables["impact"].height:
        yield study_charts.impact_bars(tables["impact"])
        yield study_charts.impact_depth(tables["impact_half_hours"])


def _section(chart: Chart) -> str:
    drawn = holder(chart.name, chart.figure.layout.height)
    return f"<section><h2>{html.escape(chart.heading)}</h2><p class='quiet'>{html.escape(chart.note)}</p>{drawn}</section>\n"


def _head(facts: Facts) -> str:
    window, symbols = _mapping(facts["window"]), _mapping(facts["symbols"])
    start, end = (_time(window[side]) for side in ("start_ms", "end_ms"))
    hours = (int(str(window["end_ms"])) - int(str(window["start_ms"]))) / HOUR_MS
    rows = []
    for symbol, found in symbols.items():
        one = _mapping(found)
        used = _mapping(one["signals"])
        rows.append(
            [symbol, one["fee_tier"] or "none", one["cost_bps"], one["quotes"], one["gaps"]]
            + [f"{_mapping(use)['rows']} (1 in {_mapping(use)['every_kth_row']})" for use in used.values()]
        )
    names = list(_mapping(_mapping(next(iter(symbols.values())))["signals"])) if symbols else []
    points = "".join(f"<li>{html.escape(point)}</li>" for point in HOW)
    return (
        f"<h1>What the signals were worth</h1><p class='quiet'>{start} to {end} UTC ({hours:.2f} hours), "
        f"price: {_mapping(facts['parameters'])['price']}, package {facts['package_version']}</p>\n"
        f"<section><h2>How to read this</h2><ul>{points}</ul>"
        f"{_table(['symbol', 'fee tier', 'cost, bps', 'quotes', 'gaps', *(f'rows {name}' for name in names)], rows)}</section>\n"
    )


def _many_tests(tables: Mapping[str, pl.DataFrame]) -> str:
    said = []
    for name, what in (("metrics", "signal"), ("event_wins", "event")):
        frame = tables[name]
        tested = frame.get_column("p_value").count()
        raw = frame.filter(pl.col("p_value") < 0.05).height
        kept = frame.filter(pl.col("p_adjusted") < 0.05).height
        said.append(
            f"<p>Of {tested} {what} tests {raw} have p below 0.05 ({0.05 * tested:.0f} would by chance alone); "
            f"after Benjamini-Hochberg {kept} remain at a false discovery rate of 5 %.</p>"
        )
    said.append(
        "<p class='quiet'>The tests lean on the same prices; the procedure holds for tests that depend on each other positively. "
        "A result on one recording is a reason to look again, not a rule.</p>"
    )
    return f"<section><h2>Many tests</h2>{''.join(said)}</section>\n"


def _whole_table(metrics: pl.DataFrame) -> str:
    horizon = shown_horizon(metrics)
    columns = [
        "symbol",
        "signal",
        "n",
        "ic",
        "ic_lo",
        "ic_hi",
        "p_adjusted",
        "hit_rate",
        "auc",
        "pr_auc",
        "brier",
        "ece",
    ]
    columns += ["kendall_tau", "top5_bps", "bottom5_bps"]
    rows = metrics.filter(ALL & (pl.col("horizon_s") == horizon)).select(columns)
    return (
        f"<section><h2>Whole sample, {horizon} s</h2><p class='quiet'>Every horizon and slice is in metrics.csv.</p>"
        f"{_table(columns, rows.rows())}</section>\n"
    )


def _impact_tables(tables: Mapping[str, pl.DataFrame]) -> str:
    summary, depth = tables["impact"], tables["impact_depth"]
    return (
        "<section><h2>Price impact: averages over half hours</h2><p class='quiet'>Slopes in bps per unit of base asset; "
        "t-statistics are Newey-West; lag 1 is the next window's movement on this window's flow.</p>"
        f"{_table(summary.columns, summary.rows())}"
        "<p class='quiet'>Exponent of depth in the slope; the theory says 1. No table holds the depth itself: "
        "the median best-level flow of updates that moved the mid stands for it.</p>"
        f"{_table(depth.columns, depth.rows())}</section>\n"
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    numeric = [not any(isinstance(row[k], str) for row in rows) for k in range(len(columns))]
    names = [WORDS.get(name, name.replace("_", " ")) for name in columns]
    kinds = ["n" if right else "" for right in numeric]
    head = "".join(f'<th class="{kind}">{html.escape(name)}</th>' for name, kind in zip(names, kinds, strict=True))
    lines = (
        "".join(
            f'<td data-name="{html.escape(name)}" class="{kind}">{_cell(value)}</td>'
            for name, kind, value in zip(names, kinds, row, strict=True)
        )
        for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    return html.escape(str(value))


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"expected a mapping, found {type(value).__name__}")
    return value


def _time(ms: object) -> str:
    return show_time(int(str(ms)))
