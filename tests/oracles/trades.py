"""Canonical trades (section 3): one row an id, in id order, on a clock that never runs back."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from .wire import TradeFrame

RATE_MS = 10_000


@dataclass(frozen=True)
class Trade:
    """One canonical trade."""

    ts_ms: int
    frame: TradeFrame
    gap_before: int

    @property
    def delta(self) -> Fraction:
        """Return the quantity signed by the taker."""
        return self.frame.qty if self.frame.side == "buy" else -self.frame.qty


@dataclass(frozen=True)
class Hole:
    """Ids that nobody delivered, between two that were seen, and the trade times around them."""

    after_id: int
    before_id: int
    last_ms: int | None
    next_ms: int | None


def seen_ids(frames: Iterable[TradeFrame]) -> list[int]:
    """Return the ids seen, admitted or not, sorted."""
    return sorted({frame.trade_id for frame in frames})


def canonical_trades(frames: Iterable[TradeFrame]) -> list[Trade]:
    """Return one row per admitted id, in id order, with the ids missing just before it."""
    frames = list(frames)
    seen = seen_ids(frames)
    best: dict[int, TradeFrame] = {}
    for frame in frames:
        held = best.get(frame.trade_id)
        if frame.admitted and (held is None or _preference(frame) < _preference(held)):
            best[frame.trade_id] = frame
    out: list[Trade] = []
    for trade_id in sorted(best):
        ts_ms, gap = best[trade_id].trade_ms, 0
        if out:
            ts_ms = max(ts_ms, out[-1].ts_ms)
            gap = ids_missing(seen, out[-1].frame.trade_id, trade_id)
        out.append(Trade(ts_ms=ts_ms, frame=best[trade_id], gap_before=gap))
    return out


def _preference(frame: TradeFrame) -> tuple[bool, int, str]:
    return frame.is_rest, frame.recv_ns, frame.conn


def ids_missing(seen: Sequence[int], after_id: int, before_id: int) -> int:
    """Return how many ids strictly between two ids were not seen."""
    seen_between = bisect_left(seen, before_id) - bisect_right(seen, after_id)
    return before_id - after_id - 1 - seen_between


def id_holes(seen: Sequence[int], trades: Sequence[Trade]) -> list[Hole]:
    """Return every hole between the ids seen, with the times of the nearest trades around it."""
    ids = [trade.frame.trade_id for trade in trades]
    out = []
    for after_id, before_id in pairwise(seen):
        if before_id - after_id > 1:
            last, following = bisect_right(ids, after_id) - 1, bisect_left(ids, before_id)
            out.append(
                Hole(
                    after_id=after_id,
                    before_id=before_id,
                    last_ms=trades[last].ts_ms if last >= 0 else None,
                    next_ms=trades[following].ts_ms if following < len(trades) else None,
                )
            )
    return out


def recv_rates(times: Sequence[int]) -> list[float | None]:
    """Return trades per second over the trailing 10 s, ties counted; null until the trades are 10 s old."""
    out: list[float | None] = []
    for ts_ms in times:
        count = bisect_right(times, ts_ms) - bisect_right(times, ts_ms - RATE_MS)
        out.append(count / 10 if ts_ms - times[0] >= RATE_MS else None)
    return out


def latency_ms(frame: TradeFrame) -> float | None:
    """Return receipt minus the exchange's push time, never clamped; null for a repaired trade."""
    if frame.event_ms is None:
        return None
    return float(Fraction(frame.recv_ns - frame.event_ms * 1_000_000, 1_000_000))
