"""The charts of the analysis report: each takes finished tables and returns one figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

PALETTE: Final = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f")
GREY: Final = "#64748b"
SCALE: Final = [[0.0, "#b91c1c"], [0.5, "#f8fafc"], [1.0, "#1d4ed8"]]
FONT: Final = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
ALL: Final = pl.col("slice_kind") == "all"


@dataclass(frozen=True)
class Chart:
    """A figure with its heading and the sentence that says how to read it."""

    name: str
    heading: str
    note: str
    figure: go.Figure


def colours(symbols: Sequence[str]) -> dict[str, str]:
    """Return a colour for each symbol, the same in every chart."""
    return {symbol: PALETTE[i % len(PALETTE)] for i, symbol in enumerate(symbols)}


def styled(figure: go.Figure, height: int) -> go.Figure:
    """Return the figure in the house's look."""
    figure.update_layout(
        height=height, template="plotly_white", dragmode=False, font={"family": FONT, "size": 12, "color": "#0f172a"},
        margin={"l": 60, "r": 20, "t": 50, "b": 50}, hovermode="closest",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0 + 30 / height, "x": 0, "traceorder": "normal"},
    )  # fmt: skip
    figure.update_annotations(font={"size": 13})
    return figure


def facets(
    names: Sequence[str], draw: Callable[[str, go.Figure, int, int], None], *, x: str, y: str, columns: int = 3
) -> go.Figure:
    """Return small multiples: one panel a name, `draw` puts the traces in."""
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)
    figure = make_subplots(
        rows, columns, subplot_titles=list(names), horizontal_spacing=0.06, vertical_spacing=0.42 / (rows + 1)
    )
    for k, name in enumerate(names):
        row, column = k // columns + 1, k % columns + 1
        draw(name, figure, row, column)
        figure.update_xaxes(title_text=x if k >= len(names) - columns else None, row=row, col=column)
        figure.update_yaxes(title_text=y if column == 1 else None, row=row, col=column)
    figure = styled(figure, 110 + 225 * rows)
    figure.update_layout(margin={"t": 62}, meta={"panels": len(names)})  # a narrow page stacks the panels
    return figure


def heat(rows: Sequence[str], columns: Sequence[str], frame: pl.DataFrame, value: str, digits: int) -> go.Figure:
    """Return a heat map around zero; `frame` has `row`, `column`, the value and `p_adjusted`; * marks p_adjusted < 0.05."""
    cells = {(r, c): (v, p) for r, c, v, p in frame.select("row", "column", value, "p_adjusted").iter_rows()}
    grid = [[cells.get((row, column), (None, None)) for column in columns] for row in rows]
    text = [
        ["" if v is None else f"{v:.{digits}f}{'*' if p is not None and p < 0.05 else ''}" for v, p in line]
        for line in grid
    ]
    largest = max((abs(v) for line in grid for v, _ in line if v is not None), default=0.0) or 1.0
    figure = go.Figure(
        go.Heatmap(
            z=[[v for v, _ in line] for line in grid], x=list(columns), y=list(rows), text=text, texttemplate="%{text}",
            colorscale=SCALE, zmin=-largest, zmax=largest, xgap=1, ygap=1, colorbar={"thickness": 12},
            hovertemplate="%{y}<br>%{x}: %{z:.4f}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_xaxes(type="category", side="top")
    figure = styled(figure, 60 + 24 * max(len(rows), 4))
    figure.update_layout(margin={"l": 190, "t": 34, "b": 12})
    return figure


def label(horizon_s: int) -> str:
    """Return a horizon as text."""
    return f"{horizon_s} s"


def shown_horizon(metrics: pl.DataFrame) -> int:
    """Return the horizon that single-horizon charts show: the one nearest 60 s, of those with an interval if any has one."""
    tested = metrics.filter(ALL & pl.col("ic_lo").is_not_null())
    horizons = (tested if tested.height else metrics).get_column("horizon_s").unique().to_list()
    return int(min(horizons, key=lambda h: (abs(h - 60), h)))


def ic_map(metrics: pl.DataFrame) -> Chart:
    """Information coefficient of every signal at every horizon."""
    whole = metrics.filter(ALL).with_columns(
        row=pl.col("symbol") + "  " + pl.col("signal"), column=pl.col("horizon_s").cast(pl.String) + " s"
    )
    rows = whole.get_column("row").unique(maintain_order=True).to_list()
    columns = [label(h) for h in sorted(whole.get_column("horizon_s").unique().to_list())]
    note = "Spearman correlation of the signal with the forward return. Blue: a high signal came before a rise. \
* marks an adjusted p below 0.05."
    return Chart("ic-map", "Information coefficient", note, heat(rows, columns, whole, "ic", 3))


def ic_by_horizon(metrics: pl.DataFrame) -> Chart:
    """Information coefficient with its interval."""
    figure = _intervals(
        metrics.filter(ALL), "horizon_s", ("ic", "ic_lo", "ic_hi"), x_title="horizon, s", y_title="IC", digits=4
    )
    note = "95 % Newey-West intervals for overlapping labels. An interval across zero says nothing was shown."
    return Chart("ic-by-horizon", "Information coefficient by horizon", note, figure)


def _intervals(
    frame: pl.DataFrame, x: str, columns: tuple[str, str, str], *, x_title: str, y_title: str, digits: int
) -> go.Figure:
    """Return a panel per signal with a point per symbol and `x`, and its interval; `columns` are value, low and high."""
    symbols = frame.get_column("symbol").unique(maintain_order=True).to_list()
    places = sorted(frame.get_column(x).unique().to_list())
    colour = colours(symbols)

    def draw(signal: str, figure: go.Figure, row: int, column: int) -> None:
        for k, symbol in enumerate(symbols):
            one = frame.filter((pl.col("signal") == signal) & (pl.col("symbol") == symbol)).sort(x)
            value, low, high = (one.get_column(name) for name in columns)
            arms = {"array": (high - value).to_list(), "arrayminus": (value - low).to_list()}
            offset = (k - (len(symbols) - 1) / 2) * 0.11
            ends = [
                "" if a is None or b is None else f" [{a:.{digits}f}, {b:.{digits}f}]"
                for a, b in zip(low, high, strict=True)
            ]
            figure.add_scatter(
                x=[places.index(at) + offset for at in one.get_column(x)], y=value.to_list(), customdata=ends,
                error_y={"type": "data", "symmetric": False, "thickness": 1, "width": 2} | arms,
                mode="markers", marker={"size": 6, "color": colour[symbol]}, name=symbol, legendgroup=symbol,
                showlegend=(row, column) == (1, 1), row=row, col=column,
                hovertemplate=f"{symbol} {signal}: %{{y:.{digits}f}}%{{customdata}}<extra></extra>",
            )  # fmt: skip
        figure.update_xaxes(tickvals=list(range(len(places))), ticktext=places, zeroline=False, row=row, col=column)
        figure.add_hline(y=0, line={"color": GREY, "width": 1}, row=row, col=column)

    return facets(_signals(frame), draw, x=x_title, y=y_title)


def _signals(metrics: pl.DataFrame) -> list[str]:
    return [str(name) for name in metrics.get_column("signal").unique(maintain_order=True)]


def _lines(
    frame: pl.DataFrame, signals: Sequence[str], x: str, series: Sequence[tuple[str, str, str]], *, x_title: str, y_title: str,
    zero: float | None = 0.0, categorical: bool = True,
) -> go.Figure:  # fmt: skip
    """Return a panel per signal with a line per symbol and series `(column, dash, word)`."""
    symbols = frame.get_column("symbol").unique(maintain_order=True).to_list()
    colour = colours(symbols)

    def draw(signal: str, figure: go.Figure, row: int, column: int) -> None:
        for symbol in symbols:
            one = frame.filter((pl.col("signal") == signal) & (pl.col("symbol") == symbol)).sort(x)
            for name, dash, word in series:
                title = f"{symbol} {word}".strip()
                figure.add_scatter(
                    x=one.get_column(x).cast(pl.String).to_list() if categorical else one.get_column(x).to_list(),
                    y=one.get_column(name).to_list(), mode="lines+markers", marker={"size": 5},
                    line={"color": colour[symbol], "width": 1.5, "dash": dash}, name=title, legendgroup=title,
                    showlegend=(row, column) == (1, 1), row=row, col=column,
                    hovertemplate=f"{title}, %{{x}}: %{{y:.3f}}<extra></extra>",
                )  # fmt: skip
        if categorical:
            figure.update_xaxes(type="category", row=row, col=column)
        if zero is not None:
            figure.add_hline(y=zero, line={"color": GREY, "width": 1}, row=row, col=column)

    return facets(signals, draw, x=x_title, y=y_title)


def quintiles(fifths: pl.DataFrame, metrics: pl.DataFrame) -> Chart:
    """Mean forward return by quintile with its interval."""
    horizon = shown_horizon(metrics)
    figure = _intervals(
        fifths.filter(pl.col("horizon_s") == horizon), "quintile", ("mean_bps", "lo_bps", "hi_bps"),
        x_title="quintile of the signal", y_title="bps", digits=2,
    )  # fmt: skip
    note = (
        f"Mean forward return over {horizon} s, before cost. Quintile edges are those of each fold's past. Bars are 95 % "
        "Newey-West intervals for overlapping labels, as those of the coefficient; no bar: too little data for one."
    )
    return Chart("quintiles", f"Forward return by quintile, {horizon} s", note, figure)


def direction(metrics: pl.DataFrame) -> Chart:
    """Area under the ROC curve by horizon."""
    figure = _lines(
        metrics.filter(ALL),
        _signals(metrics),
        "horizon_s",
        [("auc", "solid", "")],
        x_title="horizon, s",
        y_title="AUC",
        zero=0.5,
    )
    note = "Chance that a row before a rise has a higher signal than a row before a fall; one half is no skill."
    return Chart("auc", "Ranking of ups over downs", note, figure)


def tails(metrics: pl.DataFrame) -> Chart:
    """What the strongest five percent of signals earned after cost."""
    series = [("top5_bps", "solid", "top"), ("bottom5_bps", "dot", "bottom")]
    figure = _lines(metrics.filter(ALL), _signals(metrics), "horizon_s", series, x_title="horizon, s", y_title="bps")
    note = "Top 5 %: mean return minus cost, buying pays above zero. Bottom 5 %: mean return plus cost, selling pays below zero."
    return Chart("tails", "Top and bottom 5 % after cost", note, figure)


def thresholds(scan: pl.DataFrame, metrics: pl.DataFrame) -> Chart:
    """Net return by threshold."""
    horizon = shown_horizon(metrics)
    one = scan.filter(ALL & (pl.col("horizon_s") == horizon))
    figure = _lines(
        one, _signals(metrics), "threshold", [("mean_bps", "solid", "")], x_title="threshold of |signal|",
        y_title="bps before cost", categorical=False,
    )  # fmt: skip
    note = f"Mean {horizon} s return of trading in the signal's direction where |signal| is at least the threshold, before cost."
    return Chart("thresholds", f"Threshold scan, {horizon} s", note, figure)


def slices(metrics: pl.DataFrame) -> Chart:
    """Information coefficient by slice at one horizon."""
    horizon = shown_horizon(metrics)
    one = metrics.filter(pl.col("horizon_s") == horizon).with_columns(
        row=pl.col("symbol") + "  " + pl.col("signal"), column=pl.col("slice")
    )
    rows = one.get_column("row").unique(maintain_order=True).to_list()
    columns = one.get_column("column").unique(maintain_order=True).to_list()
    note = "The same coefficient within each session, regime, volatility bucket and scenario. Empty: too few rows."
    return Chart("slices", f"Information coefficient by slice, {horizon} s", note, heat(rows, columns, one, "ic", 3))
