"""The whole dataset as a strip, and the next event or gap from an instant."""

from __future__ import annotations

from typing import Final

import polars as pl

from ofi_cvd.common.times import DAY_MS, HOUR_MS, SECOND_MS, hour_of
from ofi_cvd.schemas import Kind
from ofi_cvd.view.grid import LEVELS_MS
from ofi_cvd.view.hours import SILENT_MS, join_breaks
from ofi_cvd.view.screen import Answer
from ofi_cvd.view.summaries import Summaries

_POINTS: Final = 1_000
_AHEAD_MS: Final = 12 * HOUR_MS


def overview(summaries: Summaries, symbol: str) -> Answer:
    """Return the mid (without books: the price) of the whole dataset in at most 1000 points, and where there is none.

    `breaks` are times of a minute or more without a row, and the seconds after which rows are suspect.
    """
    source: tuple[Kind, str] = ("fusion", "mid") if summaries.count(symbol, "fusion") else ("prices", "price")
    kind, column = source
    rows = summaries.every(symbol, kind, ["ts_ms", column, "suspect"])
    if rows.is_empty():
        return {"start_ms": None, "end_ms": None, "t": [], "price": [], "breaks": []}
    start, end = int(rows["ts_ms"][0]), int(rows["ts_ms"][-1]) + 1
    step = max(SECOND_MS, -(-(end - start) // _POINTS))
    strip = rows.group_by(pl.col("ts_ms") // step, maintain_order=True).agg(
        pl.col("ts_ms").last().alias("t"), pl.col(column).drop_nulls().last().alias("price")
    )
    silent = SILENT_MS if kind == "fusion" else HOUR_MS
    onset = pl.col("suspect") & ~pl.col("suspect").shift(fill_value=True)
    holes = rows.select(
        start_ms=pl.col("ts_ms").shift(), end_ms="ts_ms", hole=onset | (pl.col("ts_ms").diff() >= silent)
    ).filter("hole")
    return {
        "start_ms": start,
        "end_ms": end,
        "t": strip.get_column("t").to_list(),
        "price": strip["price"].to_list(),
        "breaks": holes.select("start_ms", "end_ms").to_dicts(),
    }


def next_event(summaries: Summaries, symbol: str, at_ms: int, *, back: bool) -> Answer | None:
    """Return the first event after an instant, or the last before it; None if there is none."""
    low, high = summaries.span(symbol)
    step = -DAY_MS if back else DAY_MS
    at = at_ms
    while (at > low) if back else (at <= high):
        window = (at + step, at) if back else (at + 1, at + step + 1)
        rows = summaries.rows(symbol, "events", *window)
        if rows.height:
            return rows.select("ts_ms", "event_type", "meta_json").row(-1 if back else 0, named=True)
        at += step
    return None


def next_gap(summaries: Summaries, symbol: str, at_ms: int, *, back: bool) -> Answer | None:
    """Return the first stretch without data that starts after an instant, or the last that starts before it."""
    low, high = summaries.span(symbol)
    at = max(low, min(high, at_ms))
    while (at > low) if back else (at < high):
        window = (max(low, at - _AHEAD_MS), at) if back else (at, min(high, at + _AHEAD_MS))
        outer = hour_of(window[0]) - HOUR_MS, window[1] + HOUR_MS  # a gap may reach over the edge of the window
        hours = summaries.hours(symbol, *outer, [LEVELS_MS[-1]])
        found = [
            gap for gap in join_breaks(hours, max(low, outer[0]), min(high, outer[1])) if _beyond(gap, at_ms, back)
        ]
        if found:
            return found[-1 if back else 0]
        at = window[0] if back else window[1]
    return None


def _beyond(gap: Answer, at_ms: int, back: bool) -> bool:
    start = int(str(gap["start_ms"]))
    return start < at_ms if back else start > at_ms
