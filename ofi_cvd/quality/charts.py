"""The charts of the quality page, each from the answer of one or two queries; None where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ofi_cvd.quality.coverage import SCENES
from ofi_cvd.quality.figures import Row
from ofi_cvd.quality.gates import LATENCY_P50_MS, LATENCY_P99_MS
from ofi_cvd.quality.report import Report

COLOURS: Final = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#b38600",
    "#56b4e9",
)  # told apart by colour-blind eyes too
_INK: Final = "#1f2933"
_GRID: Final = "#e4e7eb"
_BAD: Final = "#c81e1e"
_MARKS: Final = {
    "pivot_high": ("pivot high", "circle-open", "#7b8794", 5),
    "pivot_low": ("pivot low", "circle", "#7b8794", 4),
    "divergence_bull": ("bullish divergence", "triangle-up", "#009e73", 9),
    "divergence_hidden_bull": ("bullish divergence", "triangle-up", "#009e73", 9),
    "divergence_bear": ("bearish divergence", "triangle-down", "#c81e1e", 9),
    "divergence_hidden_bear": ("bearish divergence", "triangle-down", "#c81e1e", 9),
    "anomaly_ofi": ("anomaly", "x", "#b38600", 7),
    "anomaly_cvd": ("anomaly", "x", "#b38600", 7),
    "anomaly_fusion": ("anomaly", "x", "#b38600", 7),
    "anomaly_price": ("anomaly", "x", "#b38600", 7),
    "conflict": ("conflict", "diamond", "#7048a8", 7),
}  # fmt: skip

Chart = Any  # a Plotly figure; the library has no types


def all_charts(report: Report) -> dict[str, tuple[str, Chart | None]]:
    """Return `{id: (heading, figure or None)}` in page order."""
    charts: dict[str, tuple[str, Callable[[Report], Chart | None]]] = {
        "scene": ("Trades by scenario (colour: share of the symbol's)", scene_heat_map),
        "session": ("Trades by session (scenarios seen there)", session_heat_map),
        "latency": ("Latency and clock offset", latency),
        "timeline": ("Trades per minute and missing trade ids", timeline),
        "z": ("z_raw against z_cvd", z_distribution),
    }
    found = {name: (heading, draw(report)) for name, (heading, draw) in charts.items()}
    for place, symbol in enumerate(report.window.symbols):
        found[f"price-{symbol}"] = (f"{symbol}: price, CVD and events", price(report, symbol, place))
    return found


def scene_heat_map(report: Report) -> Chart | None:
    """Trades of each symbol in each scenario; too few are marked."""
    cells = report.figures.by_symbol("coverage_scene")
    rows = [cells[symbol] for symbol in report.window.symbols if cells[symbol]["n"]]
    if not rows:
        return None
    misses = report.coverage.scene_misses(report.settings)
    judged = {row["symbol"]: report.coverage.judges(row["symbol"], report.settings) for row in rows}
    shares = [[row[column] / row["n"] if judged[row["symbol"]] else None for column in SCENES.values()] for row in rows]
    text = [
        [
            f"{row[column]:,}" + (" (few)" if name in misses.get(row["symbol"], ()) else "")
            for name, column in SCENES.items()
        ]
        for row in rows
    ]
    waiting = [symbol for symbol, ready in judged.items() if not ready]
    note = f"Not judged yet, so not coloured: {', '.join(waiting)}" if waiting else ""
    return _heat_map(list(SCENES), [row["symbol"] for row in rows], shares, text, note)


def session_heat_map(report: Report) -> Chart | None:
    """Trades of each symbol in each session, with the number of scenarios seen there."""
    rows = report.figures.rows("coverage_session")
    if not any(row["n"] for row in rows):
        return None
    symbols = list(report.window.symbols)
    sessions = list(dict.fromkeys(row["session"] for row in rows))
    cells = {(row["symbol"], row["session"]): row for row in rows}
    counts = [
        [
            cells[symbol, session]["n"] if report.coverage.judges(symbol, report.settings, session) else None
            for session in sessions
        ]
        for symbol in symbols
    ]
    text = [[_session_text(cells[symbol, session]) for session in sessions] for symbol in symbols]
    waits = any(count is None for row in counts for count in row)
    return _heat_map(sessions, symbols, counts, text, "What is not coloured is not judged yet" if waits else "")


def _session_text(cell: Row) -> str:
    seen = sum(cell[column] > 0 for column in SCENES.values())
    return f"{cell['n']:,} ({seen} of 4)" if cell["n"] else "none"


def latency(report: Report) -> Chart | None:
    """Latency percentiles over time, corrected by the clock offset where it is known, and the offset below."""
    rows = [row for row in report.figures.rows("latency_timeline") if row["p50"] is not None]
    if not rows:
        return None
    offset = report.figures.rows("clock")[0]["offset_ms"]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.06)
    for name, colour in (("p50", COLOURS[0]), ("p90", COLOURS[4]), ("p99", COLOURS[1])):
        values = {row["bin_ms"]: row[name] + (offset or 0.0) for row in rows}
        figure.add_trace(_line(report, values, name, colour, "%{y:.1f} ms"), row=1, col=1)
    for limit, name in ((LATENCY_P50_MS, "limit of p50"), (LATENCY_P99_MS, "limit of p99")):
        figure.add_hline(
            y=limit, line={"color": _BAD, "width": 1, "dash": "dot"}, annotation_text=name, annotation_font_color=_BAD,
            annotation_position="top left", row=1, col=1,
        )  # fmt: skip
    clock = report.figures.rows("clock_timeline")
    figure.add_trace(
        go.Scatter(
            x=[row["bin_ms"] for row in clock], y=[row["offset_ms"] for row in clock], name="clock offset",
            mode="lines+markers", line={"color": COLOURS[2], "width": 1.5}, marker={"size": 4},
            hovertemplate="%{y:+.1f} ms",
        ),
        row=2, col=1,
    )  # fmt: skip
    known = "corrected by the clock offset" if offset is not None else "as recorded: the clock offset is not known"
    figure.update_yaxes(title_text=f"ms, {'corrected' if offset is not None else 'as recorded'}", row=1, col=1)
    figure.update_yaxes(rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title_text="offset, ms", row=2, col=1)
    return _style(figure, 420, f"All symbols together, {known}", report)


def timeline(report: Report) -> Chart | None:
    """Trades per minute of every symbol, and where ids are missing."""
    rows = report.figures.rows("trades_timeline")
    if not rows:
        return None
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.06)
    grid = _grid(report)
    for place, symbol in enumerate(report.window.symbols):
        colour = COLOURS[place % len(COLOURS)]
        own = [row for row in rows if row["symbol"] == symbol]
        rates = {row["bin_ms"]: row["trades_per_minute"] for row in own}
        quiet = {at: 0.0 for at in grid if not _is_out(report, symbol, at)}
        figure.add_trace(_line(report, quiet | rates, symbol, colour, "%{y:,.1f} trades/min", symbol), row=1, col=1)
        figure.add_trace(
            go.Bar(
                x=grid, y=[{row["bin_ms"]: row["ids_missing"] for row in own}.get(at, 0) for at in grid],
                name=f"{symbol} missing", marker_color=colour, marker_line_width=0, showlegend=False,
                hovertemplate="%{y:,} ids",
            ),
            row=2, col=1,
        )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0)
    figure.update_yaxes(title_text="trades per minute", rangemode="tozero", row=1, col=1)
    missing = sum(row["ids_missing"] for row in rows)
    figure.update_yaxes(title_text="ids missing", rangemode="tozero", row=2, col=1)
    if not missing:
        figure.update_yaxes(range=[0, 1], row=2, col=1)
    return _style(figure, 420, f"{missing:,} ids missing", report)


def z_distribution(report: Report) -> Chart | None:
    """How many trades have which z, before and after clipping, on a logarithmic scale."""
    rows = report.figures.rows("z_distribution")
    if not rows:
        return None
    figure = go.Figure()
    at = [row["z"] for row in rows]
    figure.add_trace(
        go.Bar(
            x=at,
            y=[row["z_raw"] or None for row in rows],
            name="z_raw",
            marker_color="#f3b58c",
            marker_line_width=0,
            hovertemplate="%{x:.2f}: %{y:,} trades",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=at, y=[row["z_cvd"] or None for row in rows], name="z_cvd", mode="markers", hovertemplate="%{x:.2f}: %{y:,} trades",
            marker={"color": COLOURS[0], "size": 5},
        )
    )  # fmt: skip
    figure.update_layout(bargap=0.15)
    limit = report.settings.winsor_limit
    for edge in (-limit, limit):
        figure.add_vline(x=edge, line={"color": _BAD, "width": 1, "dash": "dot"})
    figure.update_yaxes(type="log", title_text="trades per bin", dtick=1)
    figure.update_xaxes(title_text="size in units of the typical trade size")
    return _style(figure, 360, f"Clipped at {limit:g}; the outermost bins hold everything beyond")


def price(report: Report, symbol: str, place: int) -> Chart | None:
    """Price with the symbol's events on it, CVD below."""
    prices = {row["bin_ms"]: row["price"] for row in report.figures.rows("price_timeline") if row["symbol"] == symbol}
    if not prices:
        return None
    flow = {row["bin_ms"]: row["cvd"] for row in report.figures.rows("cvd_timeline") if row["symbol"] == symbol}
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.65, 0.35], vertical_spacing=0.05)
    colour = COLOURS[place % len(COLOURS)]
    figure.add_trace(_line(report, prices, "price", _INK, "%{y:,.8~g} quote asset", symbol), row=1, col=1)
    figure.add_trace(_line(report, flow, "CVD", colour, "%{y:,.4~g} base asset", symbol), row=2, col=1)
    drawn: set[str] = set()
    for event_type, (label, shape, ink, size) in _MARKS.items():
        at = [
            row["bin_ms"]
            for row in report.figures.rows("events_timeline")
            if row["symbol"] == symbol and row["event_type"] == event_type and row["bin_ms"] in prices
        ]
        if at:
            figure.add_trace(
                go.Scatter(
                    x=at, y=[prices[ms] for ms in at], name=label, mode="markers", legendgroup=label,
                    showlegend=label not in drawn, marker={"symbol": shape, "color": ink, "size": size},
                    hovertemplate=event_type,
                ),
                row=1, col=1,
            )  # fmt: skip
            drawn.add(label)
    figure.update_yaxes(title_text="price", row=1, col=1)
    figure.update_yaxes(title_text="CVD", row=2, col=1)
    return _style(figure, 400, report=report)


def _grid(report: Report) -> list[int]:
    width = report.window.bin_ms()
    return list(range(report.window.start_ms // width * width, report.window.end_ms, width))


def _line(
    report: Report, values: dict[int, Any], name: str, colour: str, hover: str, symbol: str | None = None
) -> Chart:
    """Return a line that breaks at declared outages only: a bin without a value is no hole, for nothing happened in it."""
    x: list[int] = []
    y: list[Any] = []
    width = report.window.bin_ms()
    for at in sorted(values):
        if x and any(_is_out(report, symbol, empty) for empty in range(x[-1] + width, at, width)):
            x.append(x[-1] + width)
            y.append(None)
        x.append(at)
        y.append(values[at])
    return go.Scatter(x=x, y=y, name=name, mode="lines", line={"color": colour, "width": 1.4}, hovertemplate=hover)


def _is_out(report: Report, symbol: str | None, bin_ms: int) -> bool:
    """Return whether a bin meets a declared outage of the trades of a symbol; None: of any symbol."""
    end_ms = bin_ms + report.window.bin_ms()
    return any(
        row["start_ms"] < end_ms and row["end_ms"] >= bin_ms
        for row in report.figures.rows("outages")
        if row["stream"] == report.settings.trade_stream and symbol in (None, row["symbol"])
    )


def _heat_map(across: list[str], down: list[str], values: list[list[Any]], text: list[list[str]], note: str) -> Chart:
    top = max((value for row in values for value in row if value is not None), default=None)
    figure = go.Figure(
        go.Heatmap(
            x=across, y=down, z=values, showscale=False, zmin=0, zmax=top or 1, xgap=2, ygap=2,
            colorscale=[[0, "rgba(70,140,200,0.08)"], [1, "rgba(70,140,200,0.6)"]], hoverinfo="skip",
        )
    )  # fmt: skip
    for row, told in zip(down, text, strict=True):
        for column, cell in zip(across, told, strict=True):
            figure.add_annotation(x=column, y=row, text=cell, showarrow=False)
    figure.update_yaxes(autorange="reversed", fixedrange=True, type="category")
    figure.update_xaxes(fixedrange=True, type="category")
    return _style(figure, 110 + 38 * len(down), note)


def _style(figure: Chart, height: int, note: str = "", report: Report | None = None) -> Chart:
    """Give a chart the house's look; with a report, its x axis is the report's window and zooms with the others."""
    figure.update_layout(
        template="none", height=height, margin={"l": 70, "r": 20, "t": 30, "b": 40},
        hovermode="x unified" if report else "closest", dragmode="zoom" if report else False,
        font={"family": "system-ui, sans-serif", "size": 12, "color": _INK}, meta={"note": note, "linked": bool(report)},
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
    )  # fmt: skip
    window = {"type": "date", "range": [report.window.start_ms, report.window.end_ms]} if report else {}
    figure.update_xaxes(gridcolor=_GRID, zeroline=False, linecolor=_GRID, **window)
    figure.update_yaxes(gridcolor=_GRID, zeroline=False, linecolor=_GRID, fixedrange=True)
    return figure
