"""Charts of the event study and of price impact."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from ofi_cvd.analysis.charts import ALL, GREY, PALETTE, Chart, colours, facets, heat, label, styled

MOST_POINTS = 4000


def event_paths(paths: pl.DataFrame, symbol: str) -> Chart:
    """Mean path around each event type of one symbol, beside its control."""
    one = paths.filter(ALL & (pl.col("symbol") == symbol))
    kinds = [str(kind) for kind in one.get_column("event_type").unique(maintain_order=True)]
    counts = dict(one.group_by("event_type").agg(pl.col("n").max()).iter_rows())

    def draw(kind: str, figure: go.Figure, row: int, column: int) -> None:
        mine = one.filter(pl.col("event_type") == kind).sort("offset_s")
        first = (row, column) == (1, 1)
        for prefix, colour, fill, name in (
            ("control_", GREY, "rgba(100,116,139,0.18)", "random times"),
            ("", PALETTE[0], "rgba(37,99,235,0.18)", "event"),
        ):
            x = mine.get_column("offset_s").to_list()
            band = mine.drop_nulls([f"{prefix}lo_bps", f"{prefix}hi_bps"])
            around, high = band.get_column("offset_s").to_list(), band.get_column(f"{prefix}hi_bps").to_list()
            low = band.get_column(f"{prefix}lo_bps").to_list()
            figure.add_scatter(
                x=around + around[::-1], y=high + low[::-1], fill="toself", fillcolor=fill, line={"width": 0}, mode="lines",
                hoverinfo="skip", showlegend=False, row=row, col=column,
            )  # fmt: skip
            figure.add_scatter(
                x=x, y=mine.get_column(f"{prefix}mean_bps").to_list(), line={"color": colour, "width": 1.8}, mode="lines",
                name=name, legendgroup=name, showlegend=first, row=row, col=column,
                hovertemplate=f"{name}, %{{x}} s: %{{y:.2f}} bps<extra></extra>",
            )  # fmt: skip
        figure.add_vline(x=0, line={"color": GREY, "width": 1, "dash": "dot"}, row=row, col=column)

    figure = facets(kinds, draw, x="seconds from the event", y="bps")
    figure.for_each_annotation(lambda note: note.update(text=f"{note.text} (n = {counts.get(note.text, 0)})"))
    note = (
        "Mean price path in the direction the event's name says, from the first price after it; bands are 95 %, clustered. \
Grey: random times with the same session and scenario."
    )
    return Chart(f"events-{symbol}", f"Event study, {symbol}", note, figure)


def event_wins(wins: pl.DataFrame) -> Chart:
    """Return beyond the control, by event type and horizon."""
    whole = wins.filter(ALL).with_columns(
        row=pl.col("symbol") + "  " + pl.col("event_type"), column=pl.col("horizon_s").cast(pl.String) + " s"
    )
    rows = whole.get_column("row").unique(maintain_order=True).to_list()
    columns = [label(h) for h in sorted(whole.get_column("horizon_s").unique().to_list())]
    note = (
        "Mean return in the event's direction minus that of its random times, in bps. * marks an adjusted p below 0.05."
    )
    return Chart("event-wins", "Events against random times", note, heat(rows, columns, whole, "excess_bps", 2))


def impact_bars(summary: pl.DataFrame) -> Chart:
    """Mean R^2 by model and window."""
    symbols = [str(symbol) for symbol in summary.get_column("symbol").unique(maintain_order=True)]
    models = [str(model) for model in summary.get_column("model").unique(maintain_order=True)]
    windows = sorted(summary.get_column("window_s").unique().to_list())

    def draw(symbol: str, figure: go.Figure, row: int, column: int) -> None:
        first = (row, column) == (1, 1)
        for k, window in enumerate(windows):
            one = summary.filter((pl.col("symbol") == symbol) & (pl.col("window_s") == window))
            r2 = dict(one.select("model", "r2").iter_rows())
            figure.add_bar(
                x=[*models, "ofi shuffled"], y=[*(r2.get(m) for m in models), _first(one, "r2_shuffled")],
                marker={"color": PALETTE[k]}, name=label(window), legendgroup=label(window), showlegend=first,
                row=row, col=column, hovertemplate="%{x}: %{y:.3f}<extra></extra>",
            )  # fmt: skip
        figure.update_yaxes(range=[0, 1], row=row, col=column)

    figure = facets(symbols, draw, x="regression on", y="mean R<sup>2</sup>")
    figure.update_layout(barmode="group")
    note = "Share of the mid's movement in a window that the flow of the same window explains, mean over half hours."
    return Chart("impact-r2", "Price impact: how much flow explains", note, figure)


def _first(frame: pl.DataFrame, column: str) -> float | None:
    values = frame.filter(pl.col("model") == "ofi").get_column(column)
    return float(values[0]) if values.len() and values[0] is not None else None


def impact_depth(half_hours: pl.DataFrame) -> Chart:
    """Slope against the stand-in for depth, 10 s windows, one dot a half hour."""
    window = 10 if (half_hours.get_column("window_s") == 10).any() else int(half_hours.get_column("window_s")[0])
    one = half_hours.filter((pl.col("window_s") == window) & (pl.col("model") == "ofi_l1") & (pl.col("slope") > 0))
    symbols = [str(symbol) for symbol in one.get_column("symbol").unique(maintain_order=True)]
    colour = colours(symbols)
    figure = go.Figure()
    for symbol in symbols:
        mine = one.filter(pl.col("symbol") == symbol).head(MOST_POINTS)
        figure.add_scatter(
            x=mine.get_column("depth_proxy").to_list(), y=mine.get_column("slope").to_list(), mode="markers", name=symbol,
            marker={"color": colour[symbol], "size": 6, "opacity": 0.7},
            hovertemplate=f"{symbol}: depth %{{x:.4g}}, slope %{{y:.4g}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(type="log", title_text="stand-in for best-level depth, base asset")
    figure.update_yaxes(type="log", title_text="slope, bps per base asset")
    note = f"Best-level slope of each half hour, {window} s windows. The theory has the slope fall as one over depth."
    return Chart("impact-depth", "Price impact against depth", note, styled(figure, 420))
