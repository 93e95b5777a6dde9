"""The four stages of an hour: its trades, its book, its 1 s grid and its events, each a small named set of frames.

Every frame is computed over what the hour before left plus the hour's own rows. Nothing is collected here: a frame that
several others are made of is handed to `materialize`, so that it is computed once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import polars as pl

from ofi_cvd.common.times import SECOND_MS
from ofi_cvd.features import book, cvd, events, fusion, labels, ofi, trades
from ofi_cvd.features.exact import UNITS, weight_units
from ofi_cvd.features.gaps import Span
from ofi_cvd.features.hour import Hour
from ofi_cvd.features.windows import ZRule
from ofi_cvd.settings import Settings

Materialize: TypeAlias = Callable[[pl.LazyFrame], pl.LazyFrame]


@dataclass(frozen=True)
class HourContext:
    """An hour, the settings it is computed with, and how a shared frame is kept."""

    hour: Hour
    settings: Settings
    materialize: Materialize

    @cached_property
    def weights(self) -> list[int]:
        """The integer weight of each level in effect."""
        return weight_units(self.settings.level_weights, self.hour.levels)[0]

    @cached_property
    def flow_unit(self) -> int:
        """How many units of weighted flow make one base asset."""
        return sum(self.weights) * UNITS

    @cached_property
    def rule(self) -> ZRule:
        """The rule of every z-score."""
        return ZRule.of(self.settings)

    @cached_property
    def outages(self) -> list[Span]:
        """Outages of either stream, each once."""
        return sorted({*self.hour.trade_outages, *self.hour.book_outages})


@dataclass(frozen=True)
class TradeFrames:
    """Trades, in id order.

    Attributes:
        seen: every id seen, admitted or not, with the ids missing so far.
        canonical: the admitted trades.
        cvd: the same with every column of the `cvd` table that is not a label.
        per_second: one row a second with a trade.
    """

    seen: pl.LazyFrame
    canonical: pl.LazyFrame
    cvd: pl.LazyFrame
    per_second: pl.LazyFrame


@dataclass(frozen=True)
class BookFrames:
    """Book updates, in the order of the venue's ids.

    Attributes:
        updates: every update behind the last one of the hour before, each with whether it continues its predecessor.
        contributing: exact flows of the updates that have a predecessor.
        scored: the buckets behind the trailing ones, with their scores.
    """

    updates: pl.LazyFrame
    contributing: pl.LazyFrame
    scored: pl.LazyFrame


@dataclass(frozen=True)
class GridFrames:
    """What stands on the 1 s clock.

    Attributes:
        fusion: seconds with an `ofi` row, behind the trailing ones.
        prices: the price grid, behind the trailing seconds.
        history: `rv` and counts of up to VOL_LOOKBACK_SECS.
        labels: labels of the hour's own seconds.
    """

    fusion: pl.LazyFrame
    prices: pl.LazyFrame
    history: pl.LazyFrame
    labels: pl.LazyFrame


@dataclass(frozen=True)
class EventFrames:
    """Events of the hour.

    Attributes:
        pivots: confirmed pivots with what divergences need of them.
        emitted: anomalies and conflicts after their pause.
        rows: all events, in table order.
    """

    pivots: pl.LazyFrame
    emitted: pl.LazyFrame
    rows: pl.LazyFrame


def trade_stage(context: HourContext) -> TradeFrames:
    """Return the hour's trades, from the ids seen to the running sum and its scales."""
    hour, opening = context.hour, context.hour.opening
    outage_ends_ms = hour.within([outage.end_ms for outage in hour.trade_outages])
    seen = context.materialize(hour.trade_rows.lazy().pipe(trades.with_missing_ids, opening))
    canonical = context.materialize(seen.pipe(trades.canonical, opening))
    summed = context.materialize(
        canonical.pipe(cvd.with_cvd, opening, context.settings, hour_ms=hour.start_ms, outage_ends_ms=outage_ends_ms)
    )
    # The first second of an hour ends on its first millisecond: its trades are those of the hour before, carried over.
    recent = opening.rows("trades").filter(pl.col("ts_ms") > hour.start_ms - SECOND_MS)
    seconds = pl.concat([recent, canonical], how="diagonal").pipe(labels.per_second)
    return TradeFrames(seen, canonical, summed, context.materialize(seconds))


def book_stage(context: HourContext) -> BookFrames:
    """Return the hour's book updates, from their chain to the scored buckets."""
    hour, opening = context.hour, context.hour.opening
    break_ends_ms = [outage.end_ms for outage in hour.book_outages]
    updates = context.materialize(book.with_continuity(hour.book_rows.lazy(), opening, break_ends_ms))
    flows = updates.pipe(ofi.contributions, context.weights)
    # A bucket over the hour's end is finished by the next hour: the updates of its first part are carried.
    unfinished = [opening.rows("updates")] if opening.trailing_rows["updates"].width else []
    contributing = context.materialize(pl.concat([*unfinished, flows]))
    buckets = contributing.pipe(ofi.bucketed, context.settings.bucket_ms).filter(pl.col("ts_ms") < hour.end_ms)
    scored = buckets.pipe(ofi.with_book_state, len(context.weights)).pipe(
        ofi.with_scores, opening, context.rule, context.flow_unit
    )
    return BookFrames(updates, contributing, context.materialize(scored))


def grid_stage(context: HourContext, trade: TradeFrames, book_: BookFrames) -> GridFrames:
    """Return the fusion rows, the price grid and the labels."""
    hour, opening, settings = context.hour, context.hour.opening, context.settings
    recent = opening.rows("ofi").filter(pl.col("ts_ms") > hour.start_ms - SECOND_MS)
    flows = context.materialize(pl.concat([recent, hour.own(book_.scored)], how="diagonal").pipe(fusion.flows))
    score_weights = (settings.w_ofi, settings.w_cvd)
    fused = context.materialize(
        flows.filter(pl.col("ts_ms") < hour.end_ms)
        .pipe(fusion.with_trade_flow, trade.per_second, hour.trade_outages)
        .pipe(fusion.with_score, opening, context.rule, score_weights, context.flow_unit)
    )
    first_ms = max(hour.grid_start_ms, hour.start_ms)
    prices = context.materialize(
        labels.grid(trade.per_second, flows, opening, first_ms, hour.grid_end_ms).pipe(
            labels.with_volatility, hour.grid_start_ms, settings.win_secs
        )
    )
    own = hour.own(prices).select("ts_ms", "rv", "trades_in_window")
    history = context.materialize(pl.concat([opening.rows("day"), own]))
    labelled = context.materialize(
        history.pipe(labels.with_labels, settings, hour.symbol, hour.grid_start_ms)
        .pipe(hour.own)
        .pipe(labels.without_outages, [outage.end_ms for outage in hour.trade_outages], settings.win_secs)
    )
    return GridFrames(fused, prices, history, labelled)


def event_stage(context: HourContext, grid: GridFrames) -> EventFrames:
    """Return the hour's events."""
    hour, opening, settings = context.hour, context.hour.opening, context.settings
    sides = (False, True)
    confirmed = [hour.own(events.pivots(grid.prices, settings.pivot_span_secs, is_high=is_high)) for is_high in sides]
    pivots = context.materialize(pl.concat(confirmed).pipe(events.with_pivot_facts, grid.prices))
    candidates = [*events.flow_anomalies(grid.fusion, settings), events.price_anomalies(grid.prices, settings)]
    emitted = context.materialize(
        pl.concat([hour.own(one) for one in candidates]).pipe(events.debounced, opening, settings.quiet_secs)
    )
    diverged = [
        events.divergences(pivots, opening, context.outages, settings, context.flow_unit, is_high=is_high)
        for is_high in sides
    ]
    rows = pl.concat([events.pivot_events(pivots), *diverged, emitted]).sort("ts_ms", "event_type", "meta_json")
    return EventFrames(pivots, emitted, rows)
