"""Cumulative volume delta and the typical trade size of a trade (section 6)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median

from .outages import Outage
from .settings import Params
from .trades import Trade
from .windows import clip, standing, trailing_moments

DAY_MS = 86_400_000
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Scale:
    """The typical trade size before a trade; all null in the warm-up."""

    scale: float | None = None
    sigma_floor: float | None = None
    floor_used: bool | None = None
    z_raw: float | None = None
    z_cvd: float | None = None


@dataclass
class DecayedMean:
    """The event-weighted mean `S/N` with a half-life: every trade counts, also those of one millisecond."""

    half_life_sec: float
    last_ms: int = 0
    total: float = 0.0
    count: float = 0.0

    @property
    def mean(self) -> float:
        """Return `S/N`."""
        return self.total / self.count

    def add(self, ts_ms: int, size: float) -> None:
        """Let time pass since the last trade, then count this one."""
        decay = 2.0 ** (-(ts_ms - self.last_ms) / 1_000 / self.half_life_sec) if self.count else 0.0
        self.total = size + decay * self.total
        self.count = 1.0 + decay * self.count
        self.last_ms = ts_ms


def is_reset(trades: Sequence[Trade], i: int, params: Params) -> bool:
    """Return whether trade `i` is the first of its UTC day and the day before was recorded too."""
    return params.cvd_reset == "utc_day" and i > 0 and trades[i].ts_ms // DAY_MS > trades[i - 1].ts_ms // DAY_MS


def cvd_values(trades: Sequence[Trade], params: Params) -> list[Fraction]:
    """Return the running sum of delta since the last reset, exact."""
    out: list[Fraction] = []
    for i, trade in enumerate(trades):
        before = out[-1] if out and not is_reset(trades, i, params) else Fraction(0)
        out.append(before + trade.delta)
    return out


def cvd_complete(trades: Sequence[Trade], outages: Sequence[Outage], params: Params) -> list[bool]:
    """Return whether every trade since the reset is in the sum, as far as anyone can know."""
    out = []
    complete = params.cvd_reset == "never"
    since: int | None = None  # midnight of the last reset
    for i, trade in enumerate(trades):
        if is_reset(trades, i, params):
            midnight = since = trade.ts_ms // DAY_MS * DAY_MS
            complete = not any(outage.start_ms <= midnight < outage.end_ms for outage in outages)
        lost = any((since is None or since < outage.end_ms) and outage.end_ms <= trade.ts_ms for outage in outages)
        if trade.gap_before > 0 or lost:
            complete = False
        out.append(complete)
    return out


def cvd_scale(trades: Sequence[Trade], params: Params) -> list[Scale]:
    """Return the scale of every trade and its size in that unit, by the chosen modes."""
    if params.z_mode == "level":
        return level_scale(trades, params)
    return delta_scale(trades, params)


def delta_scale(trades: Sequence[Trade], params: Params) -> list[Scale]:
    """Return delta in units of the typical trade size, everything taken before the current trade."""
    fast, slow = DecayedMean(params.fast_half_life_sec), DecayedMean(params.half_life_sec)
    sizes: deque[float] = deque(maxlen=params.mad_window_trades)
    out = []
    for i, trade in enumerate(trades):
        if i < params.mad_min_trades:
            out.append(Scale())
        elif params.scale_mode == "ewma":
            out.append(_sized(trade, slow.mean, sigma_floor=0.0, floor_used=False, limit=params.winsor_limit))
        else:
            mix = params.scale_fast_weight * fast.mean + (1 - params.scale_fast_weight) * slow.mean
            sigma_floor = params.mad_multiplier * MAD_TO_SIGMA * median(sizes)
            scale, used = max(mix, sigma_floor), sigma_floor >= mix
            out.append(_sized(trade, scale, sigma_floor=sigma_floor, floor_used=used, limit=params.winsor_limit))
        size = float(abs(trade.delta))
        fast.add(trade.ts_ms, size)
        slow.add(trade.ts_ms, size)
        sizes.append(size)
    return out


def _sized(trade: Trade, scale: float, *, sigma_floor: float, floor_used: bool, limit: float) -> Scale:
    z_raw = float(trade.delta) / scale
    return Scale(scale, sigma_floor, floor_used, z_raw, clip(z_raw, limit))


def level_scale(trades: Sequence[Trade], params: Params) -> list[Scale]:
    """Return the standard score of cvd against the trailing window since the reset, current excluded."""
    cvd = cvd_values(trades, params)
    starts = [i for i in range(len(trades)) if i == 0 or is_reset(trades, i, params)]
    out = []
    for start, end in pairwise([*starts, len(trades)]):
        times = [trade.ts_ms for trade in trades[start:end]]
        windows = trailing_moments(times, cvd[start:end], params.z_win_secs * 1_000)
        for x, window in zip(cvd[start:end], windows, strict=True):
            raw = standing(x, window, min_rows=params.z_min_rows, limit=float("inf"))
            if raw.scale is None:
                out.append(Scale())
                continue
            z_cvd = None if raw.z is None else clip(raw.z, params.winsor_limit)
            out.append(Scale(raw.scale, sigma_floor=0.0, floor_used=False, z_raw=raw.z, z_cvd=z_cvd))
    return out
