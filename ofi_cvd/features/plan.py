"""The plan of an hour: its stages in order, the five tables made of them, and what the next hour opens with.

Nothing is collected here. A slice of the hour is the same computation over the rows that are there.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ofi_cvd.features import closing, labels, trades
from ofi_cvd.features.gaps import with_suspect
from ofi_cvd.features.hour import Hour
from ofi_cvd.features.stages import (
    BookFrames,
    HourContext,
    Materialize,
    TradeFrames,
    book_stage,
    event_stage,
    grid_stage,
    trade_stage,
)
from ofi_cvd.schemas import TABLES, Kind
from ofi_cvd.settings import Settings


@dataclass(frozen=True)
class Plan:
    """The lazy results of an hour: its five tables, and what it hands to the next."""

    tables: dict[Kind, pl.LazyFrame]
    scalars: pl.LazyFrame
    trailing_rows: dict[str, pl.LazyFrame]


def plan(hour: Hour, settings: Settings, materialize: Materialize) -> Plan:
    """Return the plan of an hour: five tables with exactly the contract's columns, and the closing state.

    `materialize` keeps a frame that several tables are made of, so that it is computed once.
    """
    context = HourContext(hour, settings, materialize)
    trade, book = trade_stage(context), book_stage(context)
    grid = grid_stage(context, trade, book)
    event = event_stage(context, grid)
    breaks = materialize(break_ends(context, trade, book))
    bare: dict[Kind, pl.LazyFrame] = {
        "prices": trade.canonical.pipe(trades.with_rate, hour.opening, hour.first_trade_ms),
        "ofi": hour.own(book.scored),
        "cvd": trade.cvd,
        "fusion": hour.own(grid.fusion),
        "events": event.rows,
    }
    tables = {
        kind: table.pipe(labels.labelled, grid.labels, settings, hour.symbol)
        .pipe(with_suspect, breaks, settings.win_secs)
        .select(TABLES[kind].schema.names())
        for kind, table in bare.items()
    }
    frames = closing.HourFrames(trade, book, grid, event, breaks)
    return Plan(tables, closing.scalars(context, frames), closing.trailing_rows(context, frames))


def break_ends(context: HourContext, trade: TradeFrames, book: BookFrames) -> pl.LazyFrame:
    """Return when gaps, breaks and outages ended, those of the hour before that are still felt included."""
    hour = context.hour
    ends_ms = hour.within([outage.end_ms for outage in context.outages])
    outages = pl.LazyFrame({"end_ms": ends_ms}, schema={"end_ms": pl.Int64})
    gaps = trade.canonical.filter(trades.is_behind_gap()).select(end_ms="ts_ms")
    is_broken = pl.col("is_new") & pl.col("has_before") & ~pl.col("contiguous")
    broken = book.updates.filter(is_broken).select(end_ms="ts_ms")
    return pl.concat([hour.opening.rows("breaks"), outages, gaps, broken])
