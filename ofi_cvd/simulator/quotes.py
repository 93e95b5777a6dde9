"""Best-quote updates between two states of the touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ofi_cvd.simulator.arrivals import MAX_LOTS
from ofi_cvd.simulator.blocks import Book, Ints, Touch
from ofi_cvd.simulator.instruments import STEP_MS, STEPS_PER_SECOND

# A step hands out at least a thousand update ids; flickers may use fewer.
_MOST_PER_STEP = 900


@dataclass(frozen=True, slots=True)
class Quotes:
    """Best bid and offer after each update, in the order of their update ids."""

    time_ms: Ints
    update: Ints
    touch: Touch


def quote_updates(book: Book, per_second: float, mean_tps: float, rng: np.random.Generator) -> Quotes:
    """Return every change of the touch.

    Each row of `book` ends with its new state at its move time.  Before that
    the sizes of the old state flicker, `per_second` times on average when trading
    runs at its mean rate `mean_tps`; prices do not.
    """
    pace = np.clip(book.tps / mean_tps, 0.1, 4.0) ** 0.7 * per_second / STEPS_PER_SECOND
    flickers = np.minimum(rng.poisson(pace), _MOST_PER_STEP)
    rows = flickers + 1
    of = np.repeat(np.arange(rows.size), rows)
    place = np.arange(of.size) - (np.cumsum(rows) - rows)[of]
    last = place == flickers[of]
    opened = (book.step * STEP_MS)[of]
    span = (book.move_ms[of] - opened) * (1 + place) // rows[of]
    ids = book.last_update - book.previous_update
    update = book.previous_update[of] + ids[of] * (1 + place) // rows[of]
    sizes = []
    for old, new in ((book.before.bid_lots, book.after.bid_lots), (book.before.ask_lots, book.after.ask_lots)):
        flicker = np.rint(old[of] * np.exp(0.12 * rng.standard_normal(of.size)))
        sizes.append(np.where(last, new[of], np.clip(flicker, 1, MAX_LOTS - 1).astype(np.int64)))
    bid = np.where(last, book.after.bid[of], book.before.bid[of])
    ask = np.where(last, book.after.ask[of], book.before.ask[of])
    return Quotes(opened + span, update, Touch(bid, ask, sizes[0], sizes[1]))
