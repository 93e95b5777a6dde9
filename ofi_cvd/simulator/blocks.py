"""What one symbol's market did in a block of time, as columns.

Times are UTC milliseconds, prices count ticks, sizes count lots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Touch:
    """Best prices and the sizes that rest there."""

    bid: Ints
    ask: Ints
    bid_lots: Ints
    ask_lots: Ints


@dataclass(frozen=True, slots=True)
class Book:
    """The touch after each step in which the book changed.

    The touch leaves `before` and takes the state `after` at `move_ms`; the depth
    frame is taken at `time_ms`, later in the same step, and pushed at
    `event_ms`.  `step` counts 100 ms since the epoch.  Update ids run from
    `previous_update` (exclusive) to `last_update`.  `tps` is the trade rate the
    regimes ask for, per second.
    """

    step: Ints
    move_ms: Ints
    time_ms: Ints
    event_ms: Ints
    first_update: Ints
    last_update: Ints
    previous_update: Ints
    before: Touch
    after: Touch
    tps: Floats


@dataclass(frozen=True, slots=True)
class Trades:
    """Aggregated trades in id order; `buy` is the taker's side.

    Each is made of the fills `first_id` to `last_id`.  The `placeholders` trade
    ids just before `first_id` belong to no trade.  `net_lots` is the size
    without hidden retail-improvement fills.
    """

    time_ms: Ints
    event_ms: Ints
    tick: Ints
    lots: Ints
    net_lots: Ints
    agg_id: Ints
    first_id: Ints
    last_id: Ints
    placeholders: Ints
    buy: Flags


@dataclass(frozen=True, slots=True)
class Block:
    """What happened in `[start_ms, end_ms)`."""

    start_ms: int
    end_ms: int
    trades: Trades
    book: Book
