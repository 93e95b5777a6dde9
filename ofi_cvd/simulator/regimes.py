"""The slow regimes of a symbol: busy and lull, calm and wild, minute by minute."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ofi_cvd.simulator.instruments import Instrument

MINUTE_MS = 60_000

# Activity by UTC hour: a trough in the Asian morning, a peak when New York opens.
RHYTHM = (
    0.90, 0.80, 0.72, 0.66, 0.62, 0.64, 0.72, 0.86, 0.98, 1.02, 1.00, 1.02,
    1.14, 1.36, 1.52, 1.50, 1.34, 1.20, 1.08, 1.00, 0.96, 0.92, 0.90, 0.92,
)  # fmt: skip

# Mean minutes spent in each regime.  Short enough for a three-hour run to meet
# several, long against the 300 s window that labels them.
LULL_MINUTES = 14.0
BUSY_MINUTES = 24.0
WILD_MINUTES = 15.0
CALM_MINUTES = 17.0

_REGIME_LOG_VOL = 0.55  # wild is e^1.1, three times, as volatile as calm
_ACTIVITY_ON_VOL = 0.05  # how far volatility follows activity, in logs
_APPROACH = 0.45  # share of the way to the regime's level covered per minute


@dataclass(slots=True)
class _Node:
    log_tps: float
    log_vol: float


class RegimeProcess:
    """Trade rate and volatility of one symbol on minute nodes, interpolated to steps.

    Two independent two-state chains (busy/lull, wild/calm) plus slow
    autoregressive noise.  Because the chains are independent, quiet and wild
    occurs as well as busy and calm.
    """

    def __init__(self, spec: Instrument, rng: np.random.Generator, start_ms: int) -> None:
        """Begin at the minute of `start_ms` (UTC milliseconds)."""
        self._spec = spec
        self._rng = rng
        self._lull = bool(rng.random() < LULL_MINUTES / (LULL_MINUTES + BUSY_MINUTES))
        self._wild = bool(rng.random() < WILD_MINUTES / (WILD_MINUTES + CALM_MINUTES))
        self._rate_noise = 0.0
        self._vol_noise = 0.0
        self._first_minute = start_ms // MINUTE_MS
        self._log_tps = self._target(self._first_minute)
        self._log_vol = _REGIME_LOG_VOL if self._wild else -_REGIME_LOG_VOL
        self._nodes = [_Node(self._log_tps, self._log_vol)]

    def over(self, times_ms: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return trades per second and the volatility factor at rising `times_ms`."""
        first, last = int(times_ms[0]) // MINUTE_MS, int(times_ms[-1]) // MINUTE_MS + 1
        while self._first_minute + len(self._nodes) <= last:
            self._nodes.append(self._next(self._first_minute + len(self._nodes)))
        del self._nodes[: first - self._first_minute]
        self._first_minute = first
        minutes = np.arange(first, first + len(self._nodes), dtype=np.float64) * MINUTE_MS
        log_tps = np.interp(times_ms, minutes, [node.log_tps for node in self._nodes])
        log_vol = np.interp(times_ms, minutes, [node.log_vol for node in self._nodes])
        return np.exp(log_tps), np.exp(log_vol)

    def _next(self, minute: int) -> _Node:
        turn_rate, turn_vol = self._rng.random(2).tolist()
        shock_rate, shock_vol = self._rng.standard_normal(2).tolist()
        night = 1.0 / rhythm(minute)  # lulls start sooner and last longer at night
        if self._lull:
            self._lull = turn_rate >= 1.0 / (LULL_MINUTES * min(night, 1.5))
        else:
            self._lull = turn_rate < min(night, 1.5) / BUSY_MINUTES
        self._wild ^= turn_vol < 1.0 / (WILD_MINUTES if self._wild else CALM_MINUTES)
        self._rate_noise += -self._rate_noise / 20.0 + 0.05 * shock_rate
        self._vol_noise += -self._vol_noise / 45.0 + 0.03 * shock_vol
        self._log_tps += _APPROACH * (self._target(minute) - self._log_tps)
        level = _REGIME_LOG_VOL if self._wild else -_REGIME_LOG_VOL
        activity = self._log_tps - math.log(self._spec.trades_per_s)
        goal = level + self._vol_noise + _ACTIVITY_ON_VOL * activity
        self._log_vol += _APPROACH * (goal - self._log_vol)
        return _Node(self._log_tps, self._log_vol)

    def _target(self, minute: int) -> float:
        if self._lull:
            return math.log(self._spec.lull_tps) + self._rate_noise
        return math.log(self._spec.busy_tps * rhythm(minute)) + self._rate_noise


def rhythm(minute: int) -> float:
    """Return the activity factor of a minute since the epoch, around 1 over a day."""
    hour, part = divmod(minute % 1440, 60)
    here, there = RHYTHM[hour], RHYTHM[(hour + 1) % 24]
    return here + (there - here) * part / 60
