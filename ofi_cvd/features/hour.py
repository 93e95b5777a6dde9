"""The UTC hour of one symbol, the canonical unit of work (SPEC 10): one sentence of stages a table.

Nothing is collected here: the caller hands in how a frame that is used more than once is kept. Every table is computed
over what the hour before left plus the hour's own rows, and keeps the rows of the hour; a slice of the hour is the same
computation over the rows that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import polars as pl

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.features import book, closing, cvd, events, fusion, labels, ofi, trades
from ofi_cvd.features.exact import UNITS, weight_units
from ofi_cvd.features.gaps import Span, with_suspect
from ofi_cvd.features.state import Opening
from ofi_cvd.features.windows import ZRule
from ofi_cvd.schemas import TABLES, Kind
from ofi_cvd.settings import Settings

Keep: TypeAlias = Callable[[pl.LazyFrame], pl.LazyFrame]


@dataclass(frozen=True)
class Hour:
    """What an hour is computed from.

    Attributes:
        symbol: the symbol.
        start_ms: first millisecond of the hour.
        trade_rows: its sequenced trade rows, admitted or not (see `trades.sequenced`).
        book_rows: its sequenced book rows (see `book.sequenced`).
        opening: what the hour before left.
        trade_outages: unrepaired outages of the trade stream that may touch the hour's rows.
        book_outages: outages of the book stream that may touch them.
        first_trade_ms: time of the symbol's first trade, None before it.
        last_event_ms: time of the last event known of the symbol, in this hour or later.
        levels: levels of the book source that carry a weight.
    """

    symbol: str
    start_ms: int
    trade_rows: pl.DataFrame
    book_rows: pl.DataFrame
    opening: Opening
    trade_outages: Sequence[Span]
    book_outages: Sequence[Span]
    first_trade_ms: int | None
    last_event_ms: int
    levels: int

    @property
    def end_ms(self) -> int:
        """First millisecond after the hour."""
        return self.start_ms + HOUR_MS

    @property
    def grid_start_ms(self) -> int:
        """The symbol's first grid second; the end of the hour where it has not begun."""
        return self.end_ms if self.first_trade_ms is None else -(-self.first_trade_ms // 1000) * 1000

    @property
    def grid_end_ms(self) -> int:
        """The grid second after the hour's last."""
        return min(self.end_ms, -(-self.last_event_ms // 1000) * 1000 + 1000)

    @property
    def resets(self) -> bool:
        """Whether a UTC day begins with this hour."""
        return self.start_ms % cvd.DAY_MS == 0

    def ended(self, ends_ms: Sequence[int]) -> list[int]:
        """Return the instants that lie in the hour."""
        return [end for end in ends_ms if self.start_ms <= end < self.end_ms]


@dataclass(frozen=True)
class Plan:
    """The lazy results of an hour: its five tables, and what it hands to the next."""

    tables: dict[Kind, pl.LazyFrame]
    marks: pl.LazyFrame
    tails: dict[str, pl.LazyFrame]


def plan(hour: Hour, settings: Settings, keep: Keep) -> Plan:
    """Return the plan of an hour: five tables with exactly the contract's columns, and the closing state.

    `keep` holds a frame that several tables are made of, so that it is computed once.
    """
    opening, symbol = hour.opening, hour.symbol
    weights, total = weight_units(settings.level_weights, hour.levels)
    unit, rule = total * UNITS, ZRule.of(settings)
    outage_ends = [outage.end_ms for outage in hour.trade_outages]

    numbered = keep(hour.trade_rows.lazy().pipe(trades.numbered, opening))
    canonical = keep(numbered.pipe(trades.canonical, opening))
    measured = keep(
        canonical.pipe(cvd.measured, opening, settings, resets=hour.resets, outage_ends_ms=hour.ended(outage_ends))
    )
    linked = keep(book.linked(hour.book_rows.lazy(), opening, [one.end_ms for one in hour.book_outages]))
    updates = keep(pl.concat([opening.tail("updates"), linked.pipe(ofi.contributions, weights)]))
    buckets = updates.pipe(ofi.bucketed, settings.bucket_ms).filter(pl.col("ts_ms") < hour.end_ms)
    scored = keep(buckets.pipe(ofi.with_scores, opening, rule, unit))

    recent = opening.tail("trades").filter(pl.col("ts_ms") > hour.start_ms - labels.SECOND_MS)
    seconds = keep(pl.concat([recent, canonical], how="diagonal").pipe(labels.per_second))
    recent_ofi = opening.tail("ofi").filter(pl.col("ts_ms") > hour.start_ms - labels.SECOND_MS)
    flows = keep(pl.concat([recent_ofi, _own(scored, hour)], how="diagonal").pipe(fusion.flows))
    fused = keep(
        flows.filter(pl.col("ts_ms") < hour.end_ms)
        .pipe(fusion.with_trade_flow, seconds, hour.trade_outages)
        .pipe(fusion.with_score, opening, rule, (settings.w_ofi, settings.w_cvd), unit)
    )
    grid = keep(
        labels.grid(seconds, flows, opening, max(hour.grid_start_ms, hour.start_ms), hour.grid_end_ms).pipe(
            labels.with_volatility, hour.grid_start_ms, settings.win_secs
        )
    )
    history = keep(pl.concat([opening.tail("day"), _own(grid, hour).select("ts_ms", "rv", "trades_in_window")]))
    tags = keep(
        history.pipe(labels.with_labels, settings, symbol, hour.grid_start_ms)
        .pipe(_own, hour)
        .pipe(labels.without_outages, outage_ends, settings.win_secs)
    )
    confirmed = [_own(events.pivots(grid, settings.pivot_span_secs, is_high=high), hour) for high in (False, True)]
    pivots = keep(pl.concat(confirmed).pipe(events.with_pivot_facts, grid))
    found = [*events.flow_anomalies(fused, settings), events.price_anomalies(grid, settings)]
    fired = keep(pl.concat([_own(one, hour) for one in found]).pipe(events.onsets, opening, settings.quiet_secs))
    outages = sorted({*hour.trade_outages, *hour.book_outages})
    diverged = [events.divergences(pivots, opening, outages, settings, unit, is_high=high) for high in (False, True)]
    happened = pl.concat([events.pivot_events(pivots), *diverged, fired]).sort("ts_ms", "event_type", "meta_json")
    breaks = keep(pl.concat([opening.tail("breaks"), *_breaks(canonical, linked, outages, hour)]))

    bare: dict[Kind, pl.LazyFrame] = {
        "prices": canonical.pipe(trades.with_rate, opening, hour.first_trade_ms),
        "ofi": _own(scored, hour),
        "cvd": measured,
        "fusion": _own(fused, hour),
        "events": happened,
    }
    tables = {
        kind: table.pipe(labels.labelled, tags, settings, symbol)
        .pipe(with_suspect, breaks, settings.win_secs)
        .select(TABLES[kind].schema.names())
        for kind, table in bare.items()
    }
    stages = closing.Stages(numbered, measured, linked, updates, scored, fused, grid, history, breaks, pivots, fired)
    return Plan(tables, closing.marks(hour, stages, settings), closing.tails(hour, stages, settings))


def _own(frame: pl.LazyFrame, hour: Hour) -> pl.LazyFrame:
    return frame.filter(pl.col("ts_ms").is_between(hour.start_ms, hour.end_ms, closed="left"))


def _breaks(canonical: pl.LazyFrame, linked: pl.LazyFrame, outages: Sequence[Span], hour: Hour) -> list[pl.LazyFrame]:
    """Return when gaps, breaks and outages of the hour ended."""
    known = pl.LazyFrame({"end_ms": hour.ended([one.end_ms for one in outages])}, schema={"end_ms": pl.Int64})
    gaps = canonical.filter(pl.col("gap_before") > 0).select(end_ms="ts_ms")
    broken = pl.col("is_new") & pl.col("has_before") & ~pl.col("contiguous")
    return [known, gaps, linked.filter(broken).select(end_ms="ts_ms")]
