"""Trades at the touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ofi_cvd.simulator.arrivals import buy_flags, trade_lots
from ofi_cvd.simulator.blocks import Book, Flags, Floats, Ints, Trades
from ofi_cvd.simulator.instruments import STEP_MS

if TYPE_CHECKING:
    from ofi_cvd.simulator.instruments import Instrument

_PLACEHOLDER_SHARE = 0.004  # of trades are preceded by ids that belong to no trade
_RETAIL_SHARE = 0.02  # of trades have a part that `nq` leaves out


@dataclass(frozen=True, slots=True)
class Flow:
    """What takers do in a block: per trade its book row, its side and its size in lots."""

    row: Ints
    buy: Flags
    lots: Ints

    def pressure(self, rows: int, typical_lots: float) -> Floats:
        """Return the pressure on the price per book row: concave in the net size bought.

        One unit is a net purchase of `typical_lots`; sales are negative.
        """
        net = np.bincount(self.row, weights=np.where(self.buy, self.lots, -self.lots), minlength=rows)
        return np.sign(net) * np.sqrt(np.abs(net) / typical_lots)


class Tape:
    """The aggregated trades of one symbol, carried from block to block."""

    def __init__(self, spec: Instrument, agg_id: int, trade_id: int) -> None:
        """`agg_id` and `trade_id` are the last ids used."""
        self._spec, self._agg_id, self._trade_id = spec, agg_id, trade_id
        self._event_ms = 0
        self._buy = True

    def draw(
        self, counts: Ints, log_odds: Floats, size_factor: Floats, large_share: Floats, rng: np.random.Generator
    ) -> Flow:
        """Return what takers do; arguments are per book row, `log_odds` those of a buy."""
        row = np.repeat(np.arange(counts.size), counts)
        buy = buy_flags(log_odds[row], self._buy, rng)
        if row.size:
            self._buy = bool(buy[-1])
        return Flow(row, buy, trade_lots(self._spec.trade_lots, size_factor[row], large_share[row], rng))

    def execute(self, flow: Flow, book: Book, rng: np.random.Generator) -> Trades:
        """Return the trades of `flow` against `book`, at times drawn within each row's step."""
        row, lots, n = flow.row, flow.lots, flow.row.size
        time_ms = np.sort((book.step * STEP_MS)[row] + rng.integers(0, STEP_MS, size=n))
        retail = rng.random(n) < _RETAIL_SHARE
        net_lots = np.where(retail, lots - (lots * rng.random(n)).astype(np.int64), lots)
        fills = np.minimum(lots, 1 + rng.exponential(0.9, size=n).astype(np.int64))
        skipped = np.where(rng.random(n) < _PLACEHOLDER_SHARE, rng.integers(1, 4, size=n), 0)
        last_id = self._trade_id + np.cumsum(fills + skipped)
        pushed = np.maximum.accumulate(np.maximum(time_ms + rng.integers(0, 6, size=n), self._event_ms))
        trades = Trades(
            time_ms=time_ms,
            event_ms=pushed,
            tick=_print_ticks(time_ms, flow, book),
            lots=lots,
            net_lots=net_lots,
            agg_id=self._agg_id + 1 + np.arange(n),
            first_id=last_id - fills + 1,
            last_id=last_id,
            placeholders=skipped,
            buy=flow.buy,
        )
        if n:
            self._agg_id, self._trade_id = int(trades.agg_id[-1]), int(last_id[-1])
            self._event_ms = int(pushed[-1])
        return trades


def _print_ticks(time_ms: Ints, flow: Flow, book: Book) -> Ints:
    """Return the price of each trade: the touch it meets, or through it on the way of a move.

    A taker who trades in the direction of a move, before it, walks through the
    levels that the move removes: the nearer to the move, the further.
    """
    row = flow.row
    moved = time_ms >= book.move_ms[row]
    start = (book.step * STEP_MS)[row]
    walked = (time_ms - start) / np.maximum(book.move_ms[row] - start, 1)
    ask_jump = np.maximum(book.after.ask - book.before.ask, 0)[row]
    bid_jump = np.maximum(book.before.bid - book.after.bid, 0)[row]
    ask = np.where(moved, book.after.ask[row], book.before.ask[row] + (walked * ask_jump).astype(np.int64))
    bid = np.where(moved, book.after.bid[row], book.before.bid[row] - (walked * bid_jump).astype(np.int64))
    return np.where(flow.buy, ask, bid)
