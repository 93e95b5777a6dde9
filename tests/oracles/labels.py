"""Labels on a 1 s grid, from trades only (section 8)."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from .outages import Trouble
from .settings import Params, exact, for_symbol, items
from .trades import Trade
from .windows import ceil_to, quantile

Labels: TypeAlias = dict[str, str | None]

SECOND = 1_000
HOUR_MS = 3_600_000
UNITS_PER_RET = 10**12  # ret is counted in units of 1e-12


@dataclass(frozen=True)
class Second:
    """One second `t` of the grid, and what is known at its end; null while it is not."""

    t: int
    price: float
    ret_units: int
    count: int  # trades in (t - WIN_SECS, t]
    squares: int | None  # sum of the squared ret_units of WIN_SECS seconds: rv is its root
    regime: str | None = None
    vol_bucket: str | None = None


@dataclass(frozen=True)
class Grid:
    """The seconds of one symbol, without holes; `at` finds one."""

    seconds: tuple[Second, ...]

    def at(self, t: int) -> Second | None:
        """Return the second at `t`, or nothing outside the grid."""
        if not self.seconds or not self.seconds[0].t <= t <= self.seconds[-1].t:
            return None
        return self.seconds[(t - self.seconds[0].t) // SECOND]


def label_grid(trades: Sequence[Trade], last_event_ms: int, trouble: Trouble, symbol: str, params: Params) -> Grid:
    """Return the grid from the first trade to the last event, labelled."""
    if not trades:
        return Grid(())
    seconds = grid_seconds(trades, last_event_ms, params)
    regimes = regime_labels(seconds, for_symbol(params.active_tps, symbol), params)
    volumes = vol_labels(seconds, params)
    labelled = []
    for second, regime, vol in zip(seconds, regimes, volumes, strict=True):
        hidden = trouble.trades_lost_before(second.t)
        labelled.append(
            Second(
                t=second.t,
                price=second.price,
                ret_units=second.ret_units,
                count=second.count,
                squares=second.squares,
                regime=None if hidden else regime,
                vol_bucket=None if hidden else vol,
            )
        )
    return Grid(tuple(labelled))


def grid_seconds(trades: Sequence[Trade], last_event_ms: int, params: Params) -> list[Second]:
    """Return price, return, trade count and squared returns of every second."""
    times = [trade.ts_ms for trade in trades]
    start, end = ceil_to(times[0], SECOND), ceil_to(last_event_ms, SECOND)
    out: list[Second] = []
    squared: list[int] = []
    for t in range(start, end + 1, SECOND):
        price = float(trades[bisect_right(times, t) - 1].frame.price)
        units = ret_units(out[-1].price, price) if out else 0
        squared.append(units * units)
        out.append(
            Second(
                t=t,
                price=price,
                ret_units=units,
                count=bisect_right(times, t) - bisect_right(times, t - params.win_ms),
                squares=sum(squared[-params.win_secs :]) if t - start >= params.win_ms else None,
            )
        )
    return out


def ret_units(before: float, now: float) -> int:
    """Return the log return of a second, rounded to units of 1e-12."""
    return round((math.log(now) - math.log(before)) * UNITS_PER_RET)


def realised_vol(squares: int) -> float:
    """Return rv from the exact sum of squared returns."""
    return math.sqrt(squares) / UNITS_PER_RET


def regime_labels(seconds: Sequence[Second], rule: str, params: Params) -> list[str | None]:
    """Return Active or Quiet: against a rate, or (`q0.5`) against the symbol's own trailing counts."""
    out: list[str | None] = []
    known: list[tuple[int, int]] = []
    for second in seconds:
        if second.squares is None:  # the grid is not WIN_SECS old
            out.append(None)
            continue
        known.append((second.t, second.count))
        if rule.startswith("q"):
            after = second.t - params.vol_lookback_secs * SECOND
            trailing = sorted(count for t, count in known[-params.vol_lookback_secs :] if t > after)
            active = second.count > quantile(trailing, exact(rule[1:]))
        else:
            active = second.count >= exact(rule) * params.win_secs
        out.append("Active" if active else "Quiet")
    return out


def vol_labels(seconds: Sequence[Second], params: Params) -> list[str | None]:
    """Return High or Low: rv against the quantile of the known rv of the lookback, current included."""
    out: list[str | None] = []
    ordered: list[float] = []
    known: list[tuple[int, float]] = []
    left = 0
    for second in seconds:
        if second.squares is None:
            out.append(None)
            continue
        rv = realised_vol(second.squares)
        known.append((second.t, rv))
        insort(ordered, rv)
        while known[left][0] <= second.t - params.vol_lookback_secs * SECOND:
            del ordered[bisect_left(ordered, known[left][1])]
            left += 1
        old_enough = second.t - seconds[0].t >= (params.win_secs + params.vol_min_secs) * SECOND
        high = rv > quantile(ordered, params.vol_split)
        out.append(("High" if high else "Low") if old_enough else None)
    return out


def session(x: int, params: Params) -> str | None:
    """Return the session of an instant by its UTC hour."""
    if not params.write_session_labels:
        return None
    hour = x % (24 * HOUR_MS) // HOUR_MS
    for part in items(params.session_hours):
        name, _, hours = part.partition("=")
        start, _, end = hours.partition("-")
        if int(start) <= hour < int(end):
            return name
    return None


def labels_at(x: int, grid: Grid, symbol: str, params: Params) -> Labels:
    """Return the five labels of a row at `x`: its own hour, and the grid at `floor(x)`."""
    second = grid.at(x // SECOND * SECOND)
    regime, vol = (second.regime, second.vol_bucket) if second else (None, None)
    return {
        "session": session(x, params),
        "regime": regime,
        "vol_bucket": vol,
        "scenario_2x2": f"{regime[0]}_{vol[0]}" if regime and vol else None,
        "fee_tier": for_symbol(params.fee_tier, symbol),
    }


def price_anomaly(before: Second | None, now: Second, params: Params) -> bool:
    """Return whether `abs ret(t) >= sigmas * rv(t-1s)/sqrt(WIN_SECS)`, compared exactly, both sides squared."""
    if before is None or not before.squares:
        return False
    sigmas: Fraction = params.anomaly_price_sigmas
    return now.ret_units**2 * params.win_secs >= sigmas**2 * before.squares
