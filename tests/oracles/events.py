"""Pivots, divergences, anomalies and conflicts, from the 1 s grid (section 9)."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TypeVar

from .book import OfiRow
from .fusion import FusionRow
from .labels import UNITS_PER_RET, Grid, Second, price_anomaly
from .outages import Trouble
from .settings import Params
from .trades import Trade

SECOND = 1_000

Fact = TypeVar("Fact")


@dataclass(frozen=True)
class Event:
    """One event, its facts as canonical JSON."""

    ts_ms: int
    event_type: str
    meta_json: str


@dataclass(frozen=True)
class Pivot:
    """A confirmed turning point of the price on the grid."""

    ts_ms: int
    price: float
    confirmed_ms: int


def event(ts_ms: int, event_type: str, **meta: object) -> Event:
    """Return an event with its facts as canonical JSON: sorted keys, no spaces."""
    return Event(ts_ms, event_type, json.dumps(meta, sort_keys=True, separators=(",", ":")))


def all_events(
    grid: Grid,
    ofi: Sequence[OfiRow],
    trades: Sequence[Trade],
    fusion: Sequence[FusionRow],
    trouble: Trouble,
    params: Params,
) -> list[Event]:
    """Return every event, sorted."""
    highs = pivots(grid.seconds, params.pivot_span_secs, beats=lambda p, q: p > q)
    lows = pivots(grid.seconds, params.pivot_span_secs, beats=lambda p, q: p < q)
    cvd_flow = flow_between([(trade.ts_ms, trade.delta) for trade in trades])
    ofi_flow = flow_between([(row.ts_ms, row.value) for row in ofi])
    out = [
        *(event(c.confirmed_ms, "pivot_high", pivot_ts_ms=c.ts_ms, price=c.price) for c in highs),
        *(event(c.confirmed_ms, "pivot_low", pivot_ts_ms=c.ts_ms, price=c.price) for c in lows),
        *anomalies(grid, fusion, params),
    ]
    for channel, flow in (("cvd", cvd_flow), ("ofi", ofi_flow)):
        for types, turns in ((LOW_DIVERGENCES, lows), (HIGH_DIVERGENCES, highs)):
            out += divergences(turns, types, channel, flow, trouble, params)
    return sorted(out, key=lambda each: (each.ts_ms, each.event_type, each.meta_json))


def pivots(seconds: Sequence[Second], span: int, *, beats: Callable[[float, float], bool]) -> list[Pivot]:
    """Return the seconds whose price beats `span` seconds before strictly and `span` after weakly."""
    prices = [second.price for second in seconds]
    out = []
    for c in range(span, len(prices) - span):
        before, after = prices[c - span : c], prices[c + 1 : c + span + 1]
        strictly = all(beats(prices[c], p) for p in before)
        if strictly and not any(beats(p, prices[c]) for p in after):
            out.append(Pivot(seconds[c].t, prices[c], seconds[c + span].t))
    return out


# (price of B against A, sign of the flow) -> event_type
LOW_DIVERGENCES = {(-1, 1): "divergence_bull", (1, -1): "divergence_hidden_bull"}
HIGH_DIVERGENCES = {(1, -1): "divergence_bear", (-1, 1): "divergence_hidden_bear"}


def divergences(
    turns: Sequence[Pivot],
    types: dict[tuple[int, int], str],
    channel: str,
    flow: Callable[[int, int], Fraction],
    trouble: Trouble,
    params: Params,
) -> Iterable[Event]:
    """Return where price and flow between consecutive pivots of one kind disagree."""
    for a, b in pairwise(turns):
        too_far = b.ts_ms - a.ts_ms > params.div_max_secs * SECOND
        if too_far or trouble.anything_lost_between(a.ts_ms, b.ts_ms):
            continue
        total = flow(a.ts_ms, b.ts_ms)
        event_type = types.get((sign(b.price - a.price), sign(total)))
        if event_type is not None:
            yield event(
                b.confirmed_ms,
                event_type,
                channel=channel,
                a_ts_ms=a.ts_ms,
                b_ts_ms=b.ts_ms,
                a_price=a.price,
                b_price=b.price,
                flow=float(total),
            )


def sign(x: Fraction | float) -> int:
    """Return -1, 0 or 1."""
    return (x > 0) - (x < 0)


def flow_between(parts: Sequence[tuple[int, Fraction]]) -> Callable[[int, int], Fraction]:
    """Return a function of (A, B): the exact sum of the parts with a time in `(A, B]`."""
    times = [ts_ms for ts_ms, _ in parts]

    def flow(after: int, until: int) -> Fraction:
        inside = parts[bisect_right(times, after) : bisect_right(times, until)]
        return sum((x for _, x in inside), Fraction(0))

    return flow


def anomalies(grid: Grid, fusion: Sequence[FusionRow], params: Params) -> Iterable[Event]:
    """Return the onsets of unusual flows, unusual returns and opposing flows."""
    for event_type, field in (
        ("anomaly_ofi", "ofi_flow_z"),
        ("anomaly_cvd", "cvd_flow_z"),
        ("anomaly_fusion", "score_z"),
    ):
        found = [(row.ts_ms, getattr(row, field)) for row in fusion]
        met = [(t, z) for t, z in found if z is not None and abs(z) >= params.anomaly_z]
        for t, z in onsets(met, params):
            yield event(t, event_type, z=z)
    moved = [
        (second.t, second.ret_units / UNITS_PER_RET)
        for second in grid.seconds
        if price_anomaly(grid.at(second.t - SECOND), second, params)
    ]
    for t, ret in onsets(moved, params):
        yield event(t, "anomaly_price", ret=ret)
    opposed = [(row.ts_ms, row) for row in fusion if in_conflict(row, params)]
    for t, row in onsets(opposed, params):
        yield event(t, "conflict", ofi_flow_z=row.ofi_flow_z, cvd_flow_z=row.cvd_flow_z)


def in_conflict(row: FusionRow, params: Params) -> bool:
    """Return whether both flows are large and of opposite signs."""
    a, b = row.ofi_flow_z, row.cvd_flow_z
    if a is None or b is None:
        return False
    return abs(a) >= params.conflict_z and abs(b) >= params.conflict_z and sign(a) == -sign(b)


def onsets(met: Iterable[tuple[int, Fact]], params: Params) -> Iterable[tuple[int, Fact]]:
    """Return those (t, fact) that come at least QUIET_SECS after the last returned."""
    fired: int | None = None
    for t, fact in met:
        if fired is None or t - fired >= params.quiet_secs * SECOND:
            fired = t
            yield t, fact
