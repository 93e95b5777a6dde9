"""The order book as a function: resting sizes over absolute ticks and steps.

What rests at a tick is a function of (tick, step) alone, re-drawn every few
steps at a period of the tick's own.  So a level keeps its size while the
touch moves, no state is needed, and a block of any length can be computed
at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ofi_cvd.simulator.arrivals import MAX_LOTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ofi_cvd.simulator.instruments import Instrument

DEPTH = 20
"""Levels a side that the book can show."""

_TABLE_BITS = 16
_TABLE_MASK = (1 << _TABLE_BITS) - 1
_TICK_STRIDE = 0x9E37_79B1  # odd multipliers scatter (tick, version) over the table
_VERSION_STRIDE = 0x85EB_CA6B
_ASK_OFFSET = 0x2C1B_3C6D
_PLACE_PERIOD = 600  # steps for which a group of ticks keeps its occupied one


@dataclass(frozen=True, slots=True)
class Side:
    """Prices in ticks and sizes in lots of one side, rows by levels, best first."""

    ticks: NDArray[np.int64]
    lots: NDArray[np.int64]


class DepthModel:
    """The resting sizes of one symbol."""

    def __init__(self, spec: Instrument, rng: np.random.Generator) -> None:
        """Draw the tables that sizes, periods and gaps are looked up in."""
        self.most_lots = min(100 * spec.touch_lots, MAX_LOTS - 1)
        self._gap = spec.level_gap
        draws = rng.standard_normal(1 << _TABLE_BITS)
        self._touch: NDArray[np.int64] = np.maximum(1, np.rint(spec.touch_lots * np.exp(0.45 * draws))).astype(np.int64)
        behind = 0.8 * spec.touch_lots * np.exp(0.75 * draws)
        self._behind = np.clip(np.rint(behind), 1, MAX_LOTS - 1).astype(np.int64)
        self._period = rng.integers(4, 160, size=1 << _TABLE_BITS)
        self._place = rng.integers(0, 1 << 30, size=1 << _TABLE_BITS)
        self._wide = rng.random(1 << _TABLE_BITS) < 0.05

    def touch_lots(self, ticks: NDArray[np.int64], steps: NDArray[np.int64], *, ask: bool) -> NDArray[np.int64]:
        """Return the undisturbed size at the touch when it stands at `ticks`."""
        return self._touch.take(self._version(ticks, steps, ask=ask))

    def spread(self, bid: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the spread in ticks: one, now and then two or three."""
        slot = (bid * _TICK_STRIDE + (steps // 50) * _VERSION_STRIDE) & _TABLE_MASK
        return np.where(self._wide.take(slot), 2 + (slot & 1), 1).astype(np.int64)

    def side(
        self, touch: NDArray[np.int64], lots: NDArray[np.int64], steps: NDArray[np.int64], depth: int, *, ask: bool
    ) -> Side:
        """Return `depth` levels of one side below (or above) a touch of `lots`.

        Ticks are taken in groups of the instrument's gap, and exactly one tick
        of each group is occupied: levels are strictly ordered by construction.
        """
        reach = np.arange(1, depth, dtype=np.int64)
        groups = (touch // self._gap)[:, None] + (reach if ask else -reach)
        at = steps[:, None]
        if self._gap > 1:
            slot = (groups * _TICK_STRIDE + (at // _PLACE_PERIOD) * _VERSION_STRIDE) & _TABLE_MASK
            ticks = groups * self._gap + self._place.take(slot) % self._gap
        else:
            ticks = groups
        behind = self._behind.take(self._version(ticks, at, ask=ask))
        return Side(np.column_stack((touch, ticks)), np.column_stack((lots, behind)))

    def _version(self, ticks: NDArray[np.int64], steps: NDArray[np.int64], *, ask: bool) -> NDArray[np.int64]:
        home = (ticks * _TICK_STRIDE + (_ASK_OFFSET if ask else 0)) & _TABLE_MASK
        # The tick's own phase keeps levels from changing all at once.
        version = (steps + home) // self._period.take(home)
        return (home + version * _VERSION_STRIDE) & _TABLE_MASK
