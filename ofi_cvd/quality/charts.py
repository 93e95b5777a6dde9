"""The charts of the quality page, each from the answer of one or two queries; None where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    shares = [[row[column] / row["n"] for column in SCENES.values()] for row in rows]
    text = [
        [
            f"{row[column]:,}" + (" (few)" if name in misses.get(row["symbol"], ()) else "")
            for name, column in SCENES.items()
        ]
        for row in rows
    ]
    return _heat_map(list(SCENES), [row["symbol"] for row in rows], shares, text, "share: %{z:.1%}")


def session_heat_map(report: Report) -> Chart | None:
    """Trades of each symbol in each session, with the number of scenarios seen there."""
    rows = report.figures.rows("coverage_session")
    if not any(row["n"] for row in rows):
        return None
    symbols = list(report.window.symbols)
    sessions = list(dict.fromkeys(row["session"] for row in rows))
    cells = {(row["symbol"], row["session"]): row for row in rows}
    counts = [[cells[symbol, session]["n"] for session in sessions] for symbol in symbols]
    text = [[_session_text(cells[symbol, session]) for session in sessions] for symbol in symbols]
    return _heat_map(sessions, symbols, counts, text, "%{z:,} trades")


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
    grid = _grid(report)
    for name, colour in (("p50", COLOURS[0]), ("p90", COLOURS[4]), ("p99", COLOURS[1])):
        values = {row["bin_ms"]: row[name] + (offset or 0.0) for row in rows}
        figure.add_trace(_line(grid, values, name, colour), row=1, col=1)
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
        figure.add_trace(_line(grid, dict.fromkeys(grid, 0.0) | rates, symbol, colour), row=1, col=1)
        figure.add_trace(
            go.Bar(
                x=grid, y=[{row["bin_ms"]: row["ids_missing"] for row in own}.get(at, 0) for at in grid],
                name=symbol, marker_color=colour, marker_line_width=0, showlegend=False,
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
            x=at, y=[row["z_raw"] or None for row in rows], name="z_raw", marker_color="#f3b58c", marker_line_width=0
        )
    )
    figure.add_trace(
        go.Scatter(
            x=at, y=[row["z_cvd"] or None for row in rows], name="z_cvd", mode="markers",
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
    grid = _grid(report)
    colour = COLOURS[place % len(COLOURS)]
    figure.add_trace(_line(grid, prices, "price", _INK), row=1, col=1)
    figure.add_trace(_line(grid, flow, "CVD", colour), row=2, col=1)
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
                    hovertemplate=event_type + "<br>%{x}<extra></extra>",
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


def _line(grid: Sequence[int], values: dict[int, Any], name: str, colour: str) -> Chart:
    """Return a line that breaks where a bin has no value, so that a hole looks like one."""
    y = [values.get(at) for at in grid]
    return go.Scatter(x=list(grid), y=y, name=name, mode="lines", line={"color": colour, "width": 1.4})


def _heat_map(across: list[str], down: list[str], values: list[list[Any]], text: list[list[str]], hover: str) -> Chart:
    top = max(max(row) for row in values)
    figure = go.Figure(
        go.Heatmap(
            x=across, y=down, z=values, text=text, texttemplate="%{text}", showscale=False, zmin=0, zmax=top, xgap=2, ygap=2,
            colorscale=[[0, "#f3f6fa"], [1, "#7fb2dd"]], hovertemplate="%{y} %{x}: %{text}<br>" + hover + "<extra></extra>",
        )
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    return _style(figure, 110 + 38 * len(down))


def _style(figure: Chart, height: int, note: str = "", report: Report | None = None) -> Chart:
    """Give a chart the house's look; with a report, its x axis is the report's window."""
    figure.update_layout(
        height=height, margin={"l": 70, "r": 20, "t": 34 if note else 16, "b": 40}, hovermode="closest",
        paper_bgcolor="white", plot_bgcolor="white", font={"family": "system-ui, sans-serif", "size": 12, "color": _INK},
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
        title={"text": note, "font": {"size": 12}, "x": 0.0, "xref": "paper", "y": 0.985, "yanchor": "top"} if note else None,
    )  # fmt: skip
    window = {"type": "date", "range": [report.window.start_ms, report.window.end_ms]} if report else {}
    figure.update_xaxes(gridcolor=_GRID, zeroline=False, linecolor=_GRID, **window)
    figure.update_yaxes(gridcolor=_GRID, zeroline=False, linecolor=_GRID)
    return figure
