"""Writes what the README shows from three simulated hours, its session and its picture: `make first-page`."""  # noqa: INP001

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import plotly.graph_objects as go
import polars as pl
from playwright.sync_api import sync_playwright
from plotly.subplots import make_subplots

from ofi_cvd import open_dataset

README = Path(__file__).parents[1] / "README.md"
PICTURE = Path(__file__).parent / "first-hours.png"
BLOCK = re.compile(r"(?<=```console\n)(\$ ofi simulate .*?)(?=```)", re.DOTALL)
SYMBOL = "BTCUSDT"
WIDTH, HEIGHT = 1180, 560
BLUE, ORANGE, GREY, RED, GREEN = "#2f6f9f", "#c8722c", "#5f6a72", "#b23b3b", "#3d8b57"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Run the commands of the README, write their output under them, and draw the picture with the system's Chromium."""
    browser = next((path for path in map(shutil.which, CHROMIUM) if path), None)
    if browser is None:
        sys.exit(f"expected one of {', '.join(CHROMIUM)} to draw with, found none; install Chromium")
    text = README.read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder:
        README.write_text(BLOCK.sub(lambda block: session(block[0], Path(folder)), text), "utf-8", newline="\n")
        draw(figure(f"{folder}/data/ofi_cvd"), browser, Path(folder) / "page.html")
    sys.stdout.write(f"wrote {README.name} and {PICTURE.name}, {PICTURE.stat().st_size / 1000:.0f} kB\n")


def session(block: str, folder: Path) -> str:
    """Return the console block `block` with the output that its commands have in `folder`."""
    lines: list[str] = []
    for command in (line for line in block.splitlines() if line.startswith("$ ofi ")):
        words = shlex.split(command)[2:]
        environment = os.environ | {"COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(  # noqa: S603  # our own command
            [sys.executable, "-m", "ofi_cvd", *words], cwd=folder, env=environment, capture_output=True, check=True
        )
        shown = [line.rstrip() for line in done.stdout.decode("utf-8").splitlines()]
        lines += [command, *(line for line in shown if line)]
    return "\n".join(lines) + "\n"


def draw(chart: go.Figure, browser: str, page: Path) -> None:
    """Take the picture of a chart, by way of a page beside it."""
    page.write_text(chart.to_html(include_plotlyjs=True, full_html=True), "utf-8")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = opened.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        tab.goto(page.as_uri())
        tab.wait_for_selector(".main-svg")
        tab.screenshot(path=str(PICTURE))
        opened.close()


def figure(data_dir: str) -> go.Figure:
    """Return an hour of price, events, CVD and OFI, and beside it the flow against the change of the price."""
    with open_dataset(data_dir) as dataset:
        hour = pl.col("symbol").eq(SYMBOL) & pl.col("ts_ms").is_between(*_second_hour(dataset.fusion))
        seconds = dataset.fusion.filter(pl.col("symbol") == SYMBOL).sort("ts_ms").collect()
        cvd = dataset.cvd.filter(hour).sort("ts_ms").gather_every(8).collect()
        events = dataset.events.filter(hour, pl.col("event_type").str.starts_with("divergence")).collect()
    r2 = seconds.select(pl.corr("ofi_flow", pl.col("mid").diff()).pow(2)).item()
    titles = (
        f"{SYMBOL}, one simulated hour: mid price and divergences",
        f"Three hours: flow of a second against the change of the mid, R² = {r2:.2f}",
        "Cumulative volume delta",
        "Order-flow imbalance, standard score",
    )
    shape = [[{}, {"rowspan": 3}], [{}, None], [{}, None]]
    chart = make_subplots(
        3, 2, specs=shape, subplot_titles=titles, column_widths=[0.62, 0.38], row_heights=[0.44, 0.28, 0.28],
        shared_xaxes="columns", vertical_spacing=0.09, horizontal_spacing=0.07,
    )  # fmt: skip
    within = seconds.filter(hour)
    chart.add_scatter(x=_time(within), y=within["mid"], line={"color": GREY, "width": 1.3}, row=1, col=1)
    marks = events.join_asof(within.select("ts_ms", "mid").set_sorted("ts_ms"), on="ts_ms", strategy="backward")
    for kind, colour, symbol in (("bull", GREEN, "triangle-up"), ("bear", RED, "triangle-down")):
        some = marks.filter(pl.col("event_type").str.ends_with(kind))
        marker = {"color": colour, "size": 9, "symbol": symbol}
        chart.add_scatter(x=_time(some), y=some["mid"], mode="markers", marker=marker, row=1, col=1)
    chart.add_scatter(x=_time(cvd), y=cvd["cvd"], line={"color": ORANGE, "width": 1.3}, row=2, col=1)
    chart.add_bar(x=_time(within), y=within["ofi_flow_z"], marker={"color": BLUE, "line": {"width": 0}}, row=3, col=1)
    changes = seconds.select("ofi_flow", change=pl.col("mid").diff()).drop_nulls().gather_every(4)
    dots = {"color": BLUE, "size": 3, "opacity": 0.35}
    chart.add_scatter(x=changes["ofi_flow"], y=changes["change"], mode="markers", marker=dots, row=1, col=2)
    chart.update_layout(
        template="plotly_white", width=WIDTH, height=HEIGHT, showlegend=False, font={"size": 12}, bargap=0,
        margin={"l": 60, "r": 20, "t": 36, "b": 44},
    )  # fmt: skip
    chart.update_annotations(font_size=13)
    chart.update_xaxes(title_text="UTC", row=3, col=1)
    chart.update_xaxes(title_text="ofi_flow, BTC", row=1, col=2)
    chart.update_yaxes(title_text="USDT", row=1, col=1)
    chart.update_yaxes(title_text="BTC", row=2, col=1)
    chart.update_yaxes(title_text="z", row=3, col=1)
    chart.update_yaxes(title_text="change of the mid, USDT", row=1, col=2)
    return chart


def _second_hour(fusion: pl.LazyFrame) -> tuple[int, int]:
    first = int(fusion.select(pl.col("ts_ms").min()).collect().item()) // 3_600_000 * 3_600_000
    return first + 3_600_000, first + 7_200_000


def _time(rows: pl.DataFrame) -> pl.Series:
    return rows.select(pl.from_epoch("ts_ms", time_unit="ms")).to_series()


if __name__ == "__main__":
    main()
