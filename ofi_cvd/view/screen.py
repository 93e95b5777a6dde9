"""What one screen shows, as columns: everything a gesture needs comes in one answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from ofi_cvd.dataset.footprint import footprint
from ofi_cvd.schemas import KINDS
from ofi_cvd.view.buckets import bucketed, no_buckets, widened
from ofi_cvd.view.grid import bar_width, footprint_width, level_for, line_width, nice_tick
from ofi_cvd.view.hours import Hour, join_breaks
from ofi_cvd.view.summaries import Summaries

Answer = dict[str, object]

MAX_TRADES: Final = 4_000
"""Single trades are shown when no more than this many, and no more than three a pixel, are on the screen."""

_FOOTPRINT_MS: Final = 3_600_000
_ROWS_PX: Final = 11
_LINES: Final = (
    "close", "mid", "cvd", "ofi", "score", "score_z", "score_z_low", "score_z_high", "n_trades", "spread_bps", "depth_bid",
    "depth_ask", "volume", "buy_volume", "cvd_flow",
)  # fmt: skip
_BARS: Final = ("open", "high", "low", "close", "volume", "buy_volume", "n_trades")


def screen(summaries: Summaries, symbol: str, start_ms: int, end_ms: int, pixels: int, height: int) -> Answer:
    """Return what the page draws of `[start_ms, end_ms)` on so many pixels.

    Args:
        summaries: the remembered hours.
        symbol: one symbol.
        start_ms: first instant.
        end_ms: last instant, excluded.
        pixels: width of the panes; no line has more points.
        height: height of the price pane, for the levels of a footprint.
    """
    span = end_ms - start_ms
    width, bar = line_width(span, pixels), bar_width(span, pixels)
    levels = {level for level in (level_for(width), level_for(bar)) if level is not None}
    hours = summaries.hours(symbol, *_outer(start_ms, end_ms, bar), levels)
    lines = (
        _buckets(hours, start_ms, end_ms, width)
        if level_for(width)
        else _raw_buckets(summaries, symbol, start_ms, end_ms, width)
    )
    bars = _buckets(hours, start_ms, end_ms, bar)
    breaks = join_breaks(hours, start_ms, end_ms)
    trades = int(lines["n_trades"].sum() or 0)
    single = trades <= min(MAX_TRADES, 3 * pixels)
    return {
        "symbol": symbol,
        "start_ms": start_ms,
        "end_ms": end_ms,
        "width_ms": width,
        "bar_ms": bar,
        "lines": _columns(lines.with_columns(pl.col("n_trades").fill_null(0)), ("t", *_LINES)),
        "bars": _columns(bars.filter(pl.col("open").is_not_null()), ("t", *_BARS)),
        "sessions": runs(lines, "session", width),
        "scenarios": runs(lines, "scenario", width),
        "suspect": runs(lines.with_columns(suspect=pl.when("suspect").then(pl.lit("suspect"))), "suspect", width),
        "breaks": breaks,
        "events": events_on(summaries.rows(symbol, "events", start_ms, end_ms), span, pixels),
        "trades": _trades(summaries, symbol, start_ms, end_ms) if single and trades else None,
        "footprint": _footprint(summaries, symbol, start_ms, end_ms, pixels, height)
        if trades and not single and span <= _FOOTPRINT_MS
        else None,
    }


def _outer(start_ms: int, end_ms: int, width: int) -> tuple[int, int]:
    """Return the range of instants whose rows are in the buckets that touch `[start_ms, end_ms)`."""
    return start_ms // width * width + 1, -(-end_ms // width) * width + 1


def _buckets(hours: Mapping[int, Hour], start_ms: int, end_ms: int, width: int) -> pl.DataFrame:
    """Return the buckets that touch `[start_ms, end_ms)`, made of the coarsest level that makes them."""
    level = level_for(width)
    if not hours or level is None:
        return no_buckets()
    first, end = _outer(start_ms, end_ms, width)
    within = (pl.col("t") >= first) & (pl.col("t") < end)
    rows = pl.concat([hour.levels[level].lazy() for hour in hours.values()]).filter(within)
    return widened(rows, width).collect()


def _raw_buckets(summaries: Summaries, symbol: str, start_ms: int, end_ms: int, width: int) -> pl.DataFrame:
    """Return the buckets made of the rows themselves."""
    outer = _outer(start_ms, end_ms, width)
    return bucketed(
        {kind: summaries.rows(symbol, kind, *outer).lazy() for kind in KINDS if kind != "events"}, width
    ).collect()


def runs(lines: pl.DataFrame, column: str, width_ms: int) -> list[Answer]:
    """Return where a label stands, as stretches `[start_ms, end_ms)`; a hole of several buckets ends one."""
    known = lines.select("t", label=pl.col(column)).drop_nulls()
    if known.is_empty():
        return []
    new = (pl.col("label") != pl.col("label").shift()) | (pl.col("t").diff() > max(60_000, 2 * width_ms))
    found = (
        known.with_columns(run=new.fill_null(value=True).cum_sum())
        .group_by("run", maintain_order=True)
        .agg(start_ms=pl.col("t").first() - width_ms, end_ms=pl.col("t").last(), label=pl.col("label").first())
    )
    return found.drop("run").to_dicts()


def events_on(events: pl.DataFrame, span_ms: int, pixels: int) -> list[Answer]:
    """Return the events to mark: all of them, or the first of each type and pixel with how many it stands for."""
    columns = ["ts_ms", "event_type", "meta_json", "suspect"]
    rows = events.select(columns).with_columns(n=pl.lit(1, dtype=pl.Int64))
    if rows.height <= pixels // 2:
        return rows.to_dicts()
    step = max(1, span_ms * 4 // pixels)
    thinned = (
        rows.group_by(pl.col("ts_ms") // step, "event_type", maintain_order=True)
        .agg(pl.col("ts_ms").first().alias("at"), pl.col("meta_json", "suspect").first(), n=pl.len().cast(pl.Int64))
        .select(pl.col("at").alias("ts_ms"), "event_type", "meta_json", "suspect", "n")
        .sort("ts_ms")
    )
    return thinned.to_dicts()


def _trades(summaries: Summaries, symbol: str, start_ms: int, end_ms: int) -> Answer:
    rows = summaries.rows(symbol, "prices", start_ms, end_ms)
    return _columns(rows, ("ts_ms", "price", "qty", "side", "agg_trade_id"))


def _footprint(
    summaries: Summaries, symbol: str, start_ms: int, end_ms: int, pixels: int, height: int
) -> Answer | None:
    width = footprint_width(end_ms - start_ms, pixels)
    rows = summaries.rows(symbol, "prices", *_outer(start_ms, end_ms, width)).with_columns(symbol=pl.lit(symbol))
    low, high = rows["price"].min(), rows["price"].max()
    if not isinstance(low, float) or not isinstance(high, float):
        return None
    tick = nice_tick(max(high - low, 1e-8), max(4, height // _ROWS_PX))
    levels = footprint(rows.lazy(), width, tick).collect()
    return {"bar_ms": width, "tick": tick} | _columns(levels, ("ts_ms", "price", "buy_volume", "sell_volume"))


def _columns(frame: pl.DataFrame, names: tuple[str, ...]) -> Answer:
    return {name: frame.get_column(name).to_list() for name in names}
