"""Book updates (section 4) and order-flow imbalance (section 5)."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from .outages import Outage
from .settings import Params
from .windows import Standing, ceil_to, trailing_z
from .wire import BookFrame, Level


@dataclass(frozen=True)
class Update:
    """One book update on a clock that never runs back; `has_predecessor` is false after a break."""

    ts_ms: int
    frame: BookFrame
    has_predecessor: bool
    after_break: bool


@dataclass(frozen=True)
class OfiRow:
    """One bucket that had at least one contributing update."""

    ts_ms: int
    value: Fraction
    l1: Fraction
    n_updates: int
    mid: float | None
    spread_bps: float | None
    levels: tuple[Fraction, ...]
    queue_imbalance: float | None
    microprice: float | None
    depth_bid: Fraction
    depth_ask: Fraction


def merged_updates(frames: Iterable[BookFrame], stream: str, outages: Sequence[Outage]) -> list[Update]:
    """Return the updates of all connections as one sequence, each told whether it continues the one before."""
    kept: list[BookFrame] = []
    held = set()
    for frame in sorted(frames, key=lambda frame: (frame.u, frame.recv_ns, frame.conn)):
        identity = (frame.u, frame.bids, frame.asks) if stream == "bookTicker" else frame.u
        if identity not in held:
            held.add(identity)
            kept.append(frame)
    broken = _first_after_outages(kept, outages)
    out: list[Update] = []
    for i, frame in enumerate(kept):
        if i == 0:
            out.append(Update(frame.clock_ms, frame, has_predecessor=False, after_break=False))
            continue
        contiguous = i not in broken if frame.pu is None else frame.pu == kept[i - 1].u
        ts_ms = max(frame.clock_ms, out[-1].ts_ms)
        out.append(Update(ts_ms, frame, has_predecessor=contiguous, after_break=not contiguous))
    return out


def _first_after_outages(kept: Sequence[BookFrame], outages: Iterable[Outage]) -> set[int]:
    """Return the places of the first update received at or after the end of each outage."""
    out = set()
    latest: list[int] = []  # running maximum of the receipts: the first that reaches a time is the first at or after it
    for frame in kept:
        latest.append(max(frame.recv_ns, latest[-1] if latest else 0))
    for outage in outages:
        out.add(bisect_left(latest, outage.end_ms * 1_000_000))
    return out


def nominal_depth(stream: str) -> int:
    """Return how many levels a source promises a side: 10 for `depth10@100ms`, 1 for `bookTicker`."""
    digits = re.match(r"depth(\d+)", stream)
    return int(digits[1]) if digits else 1


def level_weights(params: Params) -> list[Fraction]:
    """Return the weights of the levels in use, renormalised to the nominal depth of the source."""
    levels = min(params.levels, nominal_depth(params.source))
    weights = [*params.level_weights, *[Fraction(0)] * levels][:levels]
    return [weight / sum(weights) for weight in weights]


def ofi_flow(before: Level | None, now: Level | None) -> Fraction:
    """Return the flow of one level of one side, oriented so that a larger price is better."""
    if before is None or now is None:
        return Fraction(0)
    (price_before, qty_before), (price, qty) = before, now
    if price > price_before:
        return qty
    if price < price_before:
        return -qty_before
    return qty - qty_before


def level_imbalance(before: BookFrame, now: BookFrame, k: int) -> Fraction:
    """Return `e_k = flow(bid_k) - flow(ask_k)`, level `k` counted from 0."""
    bid = ofi_flow(level(before.bids, k), level(now.bids, k))
    ask = ofi_flow(_mirrored(level(before.asks, k)), _mirrored(level(now.asks, k)))
    return bid - ask


def level(side: Sequence[Level], k: int) -> Level | None:
    """Return level `k` of a side, or nothing where it is missing."""
    return side[k] if k < len(side) else None


def _mirrored(ask: Level | None) -> Level | None:
    return None if ask is None else (-ask[0], ask[1])


def ofi_rows(updates: Sequence[Update], params: Params) -> list[OfiRow]:
    """Return one row per bucket with a contributing update, in time order."""
    weights = level_weights(params)
    buckets: dict[int, list[int]] = {}
    for i, update in enumerate(updates):
        if update.has_predecessor:
            buckets.setdefault(ceil_to(update.ts_ms, params.bucket_ms), []).append(i)
    return [_ofi_row(ts_ms, buckets[ts_ms], updates, weights) for ts_ms in sorted(buckets)]


def _ofi_row(ts_ms: int, places: Sequence[int], updates: Sequence[Update], weights: Sequence[Fraction]) -> OfiRow:
    value = l1 = Fraction(0)
    for i in places:
        before, now = updates[i - 1].frame, updates[i].frame
        value += sum(weight * level_imbalance(before, now, k) for k, weight in enumerate(weights))
        l1 += level_imbalance(before, now, 0)
    last = updates[places[-1]].frame
    mid, spread_bps = mid_and_spread(last)
    imbalance, micro = imbalance_and_microprice(last)
    depths = [sum((qty for _, qty in side[: len(weights)]), Fraction(0)) for side in (last.bids, last.asks)]
    levels = tuple(
        sum((level_imbalance(updates[i - 1].frame, updates[i].frame, k) for i in places), Fraction(0))
        for k in range(len(weights))
    )
    return OfiRow(ts_ms, value, l1, len(places), mid, spread_bps, levels, imbalance, micro, depths[0], depths[1])


def imbalance_and_microprice(book: BookFrame) -> tuple[float | None, float | None]:
    """Return which queue at the touch is longer, and the price that leans away from it; null without two sides."""
    if not book.bids or not book.asks or book.bids[0][1] + book.asks[0][1] == 0:
        return None, None
    (bid, b), (ask, a) = book.bids[0], book.asks[0]
    return float((b - a) / (b + a)), float((a * bid + b * ask) / (a + b))


def mid_and_spread(book: BookFrame) -> tuple[float | None, float | None]:
    """Return the middle of the best prices and their distance in basis points of it; null if a side is missing."""
    if not book.bids or not book.asks:
        return None, None
    bid, ask = book.bids[0][0], book.asks[0][0]
    mid = (bid + ask) / 2
    return float(mid), float((ask - bid) / mid * 10_000) if mid else None


def ofi_standings(rows: Sequence[OfiRow], params: Params) -> list[Standing]:
    """Return `ofi_z` and `scale` of every row."""
    return z_rule([row.ts_ms for row in rows], [row.value for row in rows], params)


def z_rule(times: Sequence[int], values: Sequence[Fraction | float | None], params: Params) -> list[Standing]:
    """Return the standing of every value by the one rule that `ofi` and `fusion` share."""
    return trailing_z(
        times,
        values,
        win_secs=params.z_win_secs,
        min_rows=params.z_min_rows,
        min_secs=params.z_min_secs,
        limit=params.winsor_limit,
    )
