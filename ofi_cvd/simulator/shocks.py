"""Rare bursts on top of the ordinary flow: sweeps and absorptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.simulator.instruments import STEP_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ofi_cvd.simulator.instruments import Instrument

SWEEPS_PER_HOUR = 0.9
ABSORPTIONS_PER_HOUR = 2.5

_STEPS_PER_HOUR = HOUR_MS // STEP_MS


@dataclass(frozen=True, slots=True)
class Burst:
    """What the bursts of a block add to each of its steps.

    `drift` is a price change in units of the one-second standard deviation,
    `side_bias` is added to the log-odds that a trade is a buy, `extra_tps` to
    the trade rate, `size_factor` multiplies trade sizes, and `bid_factor` and
    `ask_factor` the sizes at the touch.
    """

    drift: NDArray[np.float64]
    side_bias: NDArray[np.float64]
    extra_tps: NDArray[np.float64]
    size_factor: NDArray[np.float64]
    bid_factor: NDArray[np.float64]
    ask_factor: NDArray[np.float64]


def draw_bursts(steps: int, spec: Instrument, rng: np.random.Generator) -> Burst:
    """Return the bursts of a block of `steps` steps.

    A sweep takes the price 6 to 16 one-second deviations in one direction
    within 0.3 to 1 s, traded through by takers of that side, while makers
    follow with large orders.  An absorption is the opposite of agreement: takers
    hit one side hard for a second while makers step in front of them and the
    price goes the other way.  A burst that would outlast its block is cut.
    """
    burst = Burst(np.zeros(steps), np.zeros(steps), np.zeros(steps), np.ones(steps), np.ones(steps), np.ones(steps))
    for per_hour, sweep in ((SWEEPS_PER_HOUR, True), (ABSORPTIONS_PER_HOUR, False)):
        for start in rng.integers(0, steps, size=rng.poisson(per_hour * steps / _STEPS_PER_HOUR)).tolist():
            length = int(rng.integers(3, 11)) if sweep else 10
            direction = 1 if rng.random() < 0.5 else -1
            span = slice(start, start + length)
            reach = rng.uniform(6.0, 16.0) if sweep else rng.uniform(6.0, 9.0)
            burst.drift[span] = direction * reach / length
            burst.side_bias[span] = direction * (4.0 if sweep else -5.0)
            burst.extra_tps[span] = (3.0 if sweep else 2.0) * spec.busy_tps
            burst.size_factor[span] = 3.0 if sweep else 4.0
            followed = burst.bid_factor if direction > 0 else burst.ask_factor
            followed[span] = rng.uniform(4.0, 12.0) if sweep else rng.uniform(2.0, 3.0)
    return burst
