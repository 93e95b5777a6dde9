"""Self-exciting trade arrivals, their signs and their sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ofi_cvd.simulator.instruments import STEP_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Expected offspring of one trade in a fast and a slow kernel: 0.6 in total, so
# the flow is clearly clustered and still far from explosive.
FAST_OFFSPRING = 0.35
SLOW_OFFSPRING = 0.25
_FAST_DECAY = 0.5 ** (STEP_MS / 300)  # half-life 0.3 s
_SLOW_DECAY = 0.5 ** (STEP_MS / 8_000)  # half-life 8 s
_NORMAL_FROM = 40.0  # above this mean a Poisson count is drawn as a rounded normal

# Trade sizes in units of the median, and the deviation of their logarithm: two modes, as on real captures.
_SMALL, _SMALL_SIGMA = 0.17, 1.0
_LARGE, _LARGE_SIGMA = 6.0, 1.4
_LARGE_SHARE, _LARGE_SWING = 0.47, 0.33
_MOODS = ((157.0, 1.0), (611.0, 2.0), (1721.0, 3.0))  # periods in seconds that do not meet, and phases

MAX_LOTS = 1 << 20
"""No simulated quantity reaches this many lots."""


@dataclass(slots=True)
class Excitement:
    """Intensity still owed to past trades, in trades per step."""

    fast: float = 0.0
    slow: float = 0.0


def arrivals_per_step(tps: NDArray[np.float64], memory: Excitement, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return trades per step of a Hawkes process on the step grid; `memory` is carried on.

    `tps` is the mean rate of trades per second that the process would settle
    at: the immigrants are that rate less the share born of other trades.
    """
    immigrants = (tps * ((1.0 - FAST_OFFSPRING - SLOW_OFFSPRING) * STEP_MS / 1000)).tolist()
    uniforms = rng.random(tps.size).tolist()
    fast, slow = memory.fast, memory.slow
    fast_birth = FAST_OFFSPRING * (1.0 - _FAST_DECAY)
    slow_birth = SLOW_OFFSPRING * (1.0 - _SLOW_DECAY)
    counts: list[int] = []
    for base, uniform in zip(immigrants, uniforms, strict=True):
        count = _poisson(base + fast + slow, uniform)
        counts.append(count)
        # A trade in step k excites from step k + 1 on; the kernel sums to its offspring.
        fast = fast * _FAST_DECAY + count * fast_birth
        slow = slow * _SLOW_DECAY + count * slow_birth
    memory.fast, memory.slow = fast, slow
    return np.array(counts, dtype=np.int64)


def _poisson(mean: float, uniform: float) -> int:
    """Return the `uniform` quantile of a Poisson variable."""
    if mean > _NORMAL_FROM:
        return max(0, round(mean + math.sqrt(mean) * _normal_quantile(uniform)))
    term = math.exp(-mean)
    count = 0
    while uniform >= term and count < 200:
        uniform -= term
        count += 1
        term *= mean / count
    return count


def _normal_quantile(uniform: float) -> float:
    # Tukey's lambda approximation: within 0.01 of the normal where it matters here.
    inside = min(max(uniform, 1e-9), 1.0 - 1e-9)
    return float(4.91 * (inside**0.14 - (1.0 - inside) ** 0.14))


def buy_flags(
    log_odds: NDArray[np.float64], previous: bool, rng: np.random.Generator, *, copying: float = 0.30
) -> NDArray[np.bool_]:
    """Return whether each trade is a buy.

    A trade copies the side of the one before it with probability `copying`
    (a large order worked in pieces), else it is drawn from its `log_odds`.
    """
    fresh = rng.random(log_odds.size) < 1.0 / (1.0 + np.exp(-log_odds))
    copied = rng.random(log_odds.size) < copying
    source = np.maximum.accumulate(np.where(copied, -1, np.arange(log_odds.size)))
    return np.where(source >= 0, fresh[source], previous)


def trade_lots(
    median: float, factor: NDArray[np.float64], large_share: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return trade sizes in lots, at least one: many small trades and a broad body of large ones.

    As on real captures the mean is 10 to 14 times the median, a quarter of the trades is more than six times the
    median, and one in a hundred more than 150 times. `large_share` is the share of large trades, per trade.
    """
    large = rng.random(factor.size) < large_share
    spread = np.where(large, _LARGE_SIGMA, _SMALL_SIGMA) * rng.standard_normal(factor.size)
    sizes = np.where(large, _LARGE, _SMALL) * np.exp(spread) * median * factor
    return np.clip(np.rint(sizes), 1, MAX_LOTS - 1).astype(np.int64)


def large_shares(time_ms: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of large trades at each time: it drifts over minutes, so that the median of sizes does too.

    Where large trades are in the majority for a while, the median of the last trades rises above the decayed mean:
    then the floor decides the scale of `cvd`, as it does on real captures now and then.
    """
    angle = 2e-3 * np.pi * time_ms
    mood = sum(np.sin(angle / period_s + phase) for period_s, phase in _MOODS)
    share: NDArray[np.float64] = _LARGE_SHARE + _LARGE_SWING * mood / len(_MOODS)
    return share
