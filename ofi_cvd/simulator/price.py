"""The efficient price and the touch that follows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ofi_cvd.simulator.blocks import Book, Flags, Floats, Ints, Touch
from ofi_cvd.simulator.instruments import STEP_MS, STEPS_PER_SECOND

if TYPE_CHECKING:
    from ofi_cvd.simulator.depth_model import DepthModel
    from ofi_cvd.simulator.instruments import Instrument
    from ofi_cvd.simulator.shocks import Burst

# Parts of a step's price change: news that takers act on too, news that only
# makers act on, and the pressure of what takers bought or sold.
_SHARED, _PRIVATE, _PRESSURE = 0.50, 0.55, 0.35
# Weak pull to the opening price, half-life about three days, so that a market
# left running for weeks stays in range.
_ANCHOR_PULL = 0.693 / (3 * 86_400 * STEPS_PER_SECOND)
_LEAST_TICKS = 200.0  # room for twenty levels under the lowest price
_IMBALANCE = 0.8  # how far the touch sizes tell where the price is about to go
_MOVE_AT = (5, 86)  # ms into the step at which the touch takes its new state
_FRAME_AT = (92, 100)  # ms into the step at which the depth frame is taken


@dataclass(frozen=True, slots=True)
class News:
    """What drives the price in each step of a block."""

    shared: Floats
    pressure: Floats
    vol: Floats
    tps: Floats
    burst: Burst


class PricePath:
    """The price of one symbol, carried from block to block."""

    def __init__(self, spec: Instrument, depth_model: DepthModel, update: int) -> None:
        """Open at the instrument's first price; `update` is the last book update id used."""
        self._spec, self._depth_model = spec, depth_model
        self._efficient = spec.tick0 + 0.5
        self._update = update
        opening = [np.array([ticks]) for ticks in (spec.tick0, spec.tick0 + 1)]
        size = np.array([spec.touch_lots])
        self._touch = Touch(opening[0], opening[1], size, size)

    def advance(self, start_ms: int, news: News, moving: Flags, rng: np.random.Generator) -> Book:
        """Return the book of the next steps; it changes only where `moving`."""
        band = max(0.75, 0.9 * self._spec.sigma_ticks)
        efficient = self._walk(news, rng)
        path = follow(efficient.tolist(), moving.tolist(), int(self._touch.bid[0]), band)
        rows = np.flatnonzero(moving)
        bid = np.array(path, dtype=np.int64)[rows]
        step = start_ms // STEP_MS + rows
        lead = np.clip((efficient[rows] - bid - 0.5) / band, -1.0, 1.0)
        after = self._sized(bid, step, lead, news, rows)
        before = Touch(*(np.concatenate((old, new[:-1])) for old, new in _pairs(self._touch, after)))
        self._touch = Touch(*(new[-1:].copy() for _, new in _pairs(before, after)))
        return self._stamped(step, before, after, news.tps[rows], rng)

    def _walk(self, news: News, rng: np.random.Generator) -> Floats:
        sigma = self._spec.sigma_ticks * news.vol
        private = rng.standard_normal(sigma.size)
        change = sigma * (_SHARED * news.shared + _PRIVATE * private + _PRESSURE * news.pressure)
        change += sigma * STEPS_PER_SECOND**0.5 * news.burst.drift
        change -= _ANCHOR_PULL * (self._efficient - self._spec.tick0)
        efficient = np.maximum(self._efficient + np.cumsum(change), _LEAST_TICKS)
        self._efficient = float(efficient[-1])
        return efficient

    def _sized(self, bid: Ints, step: Ints, lead: Floats, news: News, rows: Ints) -> Touch:
        ask = bid + self._depth_model.spread(bid, step)
        thin = news.vol[rows] ** -0.4  # makers show less when the price is wild
        sizes = []
        for ticks, side, factor in ((bid, 1.0, news.burst.bid_factor), (ask, -1.0, news.burst.ask_factor)):
            resting = self._depth_model.touch_lots(ticks, step, ask=side < 0)
            shown = resting * thin * (1.0 + side * _IMBALANCE * lead) * factor[rows]
            sizes.append(np.clip(np.rint(shown), 1, self._depth_model.most_lots).astype(np.int64))
        return Touch(bid, ask, sizes[0], sizes[1])

    def _stamped(self, step: Ints, before: Touch, after: Touch, tps: Floats, rng: np.random.Generator) -> Book:
        n = step.size
        opened = step * STEP_MS
        taken = opened + rng.integers(*_FRAME_AT, size=n)
        updates = rng.integers(1_000, 6_000, size=n)
        last = self._update + np.cumsum(updates)
        previous = np.concatenate((np.array([self._update]), last[:-1]))
        self._update = int(last[-1])
        return Book(
            step=step,
            move_ms=opened + rng.integers(*_MOVE_AT, size=n),
            time_ms=taken,
            event_ms=taken + rng.integers(0, 6, size=n),
            first_update=previous + rng.integers(1, 400, size=n),
            last_update=last,
            previous_update=previous,
            before=before,
            after=after,
            tps=tps,
        )


def _pairs(one: Touch, other: Touch) -> list[tuple[Ints, Ints]]:
    return [
        (one.bid, other.bid),
        (one.ask, other.ask),
        (one.bid_lots, other.bid_lots),
        (one.ask_lots, other.ask_lots),
    ]


def follow(efficient: list[float], moving: list[bool], bid: int, band: float) -> list[int]:
    """Return the best bid, in ticks, that follows an efficient price with hysteresis.

    The touch stays until the efficient price is more than `band` ticks from
    its middle, then jumps to where the price is.  Where `moving` is false the
    book stands still.
    """
    bids: list[int] = []
    middle = bid + 0.5
    for price, may_move in zip(efficient, moving, strict=True):
        if may_move and not -band <= price - middle <= band:
            bid = int(price // 1)
            middle = bid + 0.5
        bids.append(bid)
    return bids
