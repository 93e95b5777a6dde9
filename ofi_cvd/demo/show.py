"""What a build brought, on the terminal: rows, scenarios, price and volume delta as lines."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from rich.console import Console

from ofi_cvd.common.terminal import sparkline, table
from ofi_cvd.common.times import show_time
from ofi_cvd.dataset.reader import Dataset, open_dataset
from ofi_cvd.quality import queries
from ofi_cvd.quality.window import Window
from ofi_cvd.schemas import KINDS, SCENARIOS
from ofi_cvd.settings import Settings

_SPARK = 26  # two of them, a symbol and two prices fit 80 columns


def show_tables(settings: Settings, window: Window, console: Console, *, scenarios: bool = True) -> None:
    """Print rows per table, trades per scenario, and price and CVD of each symbol over the window."""
    with open_dataset(settings.data_dir) as dataset:
        _show_rows(dataset, window, console)
        if scenarios:
            _show_scenarios(dataset, window, console)
        _show_lines(dataset, window, console)


def flow_explains(settings: Settings, window: Window) -> str:
    """Return in a sentence how much of each symbol's price changes its order flow explains."""
    with open_dataset(settings.data_dir) as dataset:
        fits = _ask(dataset, "flow_explains_price", {"start_ms": window.start_ms, "end_ms": window.end_ms})
    shares = [f"{row['r2']:.0%} of {row['symbol']}'s" for row in fits.iter_rows(named=True) if row["r2"] is not None]
    return f"order flow explains {' and '.join(shares)} one-second mid changes (R2)" if shares else ""


def traded_window(settings: Settings) -> Window:
    """Return the whole seconds between the first and the last trade of a dataset."""
    with open_dataset(settings.data_dir) as dataset:
        first, last = dataset.sql("SELECT min(ts_ms), max(ts_ms) FROM prices").row(0)
    return Window(first // 1000 * 1000, last // 1000 * 1000 + 1000, settings.symbols)


def _ask(dataset: Dataset, name: str, values: Mapping[str, object]) -> pl.DataFrame:
    return dataset.read(lambda connection: queries.load(name).run(connection, values))


def _values(window: Window, bin_ms: int) -> dict[str, object]:
    return {
        "symbols": list(window.symbols), "start_ms": window.start_ms, "end_ms": window.end_ms, "bin_ms": bin_ms
    }  # fmt: skip


def _show_rows(dataset: Dataset, window: Window, console: Console) -> None:
    counts = {(symbol, kind): n for symbol, kind, n in _ask(dataset, "rows", _values(window, 1000)).iter_rows()}
    listing = table("Rows of the five tables", "symbol", *(f">{kind}" for kind in KINDS))
    for symbol in window.symbols:
        listing.add_row(symbol, *(f"{counts[symbol, kind]:,}" for kind in KINDS))
    if len(window.symbols) > 1:
        listing.add_row("all", *(f"{sum(counts[symbol, kind] for symbol in window.symbols):,}" for kind in KINDS))
    console.print(listing)


def _show_scenarios(dataset: Dataset, window: Window, console: Console) -> None:
    listing = table("Trades by scenario", "symbol", *(f">{name}" for name in SCENARIOS), ">not known yet")
    for row in _ask(dataset, "coverage_scene", _values(window, 1000)).iter_rows(named=True):
        counts = [row[name.lower()] for name in SCENARIOS]
        listing.add_row(row["symbol"], *(f"{count:,}" for count in counts), f"{row['n'] - sum(counts):,}")
    console.print(listing)


def _show_lines(dataset: Dataset, window: Window, console: Console) -> None:
    values = _values(window, max(1000, (window.end_ms - window.start_ms) // _SPARK))
    prices, deltas = _ask(dataset, "price_timeline", values), _ask(dataset, "cvd_timeline", values)
    title = f"{show_time(window.start_ms)} to {show_time(window.end_ms)[11:]} UTC"
    listing = table(title, "symbol", ">price", "price over time", "volume delta over time")
    for symbol in window.symbols:
        price, delta = _line(prices, symbol, "price"), _line(deltas, symbol, "cvd")
        listing.add_row(symbol, f"{price[-1]:g}" if price else "", sparkline(price, _SPARK), sparkline(delta, _SPARK))
    console.print(listing)


def _line(bins: pl.DataFrame, symbol: str, column: str) -> list[float]:
    """Return a value for each bin of the chart, so that all symbols share one time axis; a bin without trades repeats."""
    every = bins.select(pl.col("bin_ms").unique().sort())
    own = bins.filter(pl.col("symbol") == symbol).select("bin_ms", column)
    filled = every.join(own, on="bin_ms", how="left", maintain_order="left")[column]
    return filled.fill_null(strategy="forward").fill_null(strategy="backward").drop_nulls().to_list()
