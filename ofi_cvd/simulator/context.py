"""What surrounds the simulated market: the mark price every second, and liquidations as the exchange samples them.

Payloads are the `data` objects of `markPrice@1s` and `forceOrder`. Both are read off the book and the tape that the
other streams show; they draw nothing at random, so that the other streams are unchanged by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.simulator.text import decimal_texts

if TYPE_CHECKING:
    from ofi_cvd.simulator.blocks import Block, Ints
    from ofi_cvd.simulator.engine import Engine

SECOND_MS: Final = 1_000
FUNDING_MS: Final = 8 * HOUR_MS
_LARGE: Final = 12  # a taker of so many typical sizes is taken to be a liquidation now and then
_ONE_IN: Final = 3
_PUSH_AFTER_MS: Final = 40


def mark_prices(engine: Engine, block: Block) -> tuple[Ints, list[bytes]]:
    """Return when each mark price is pushed and its text: one for every second with a change of the book."""
    spec, book = engine.spec, block.book
    second = -(-book.event_ms // SECOND_MS) * SECOND_MS
    last = np.flatnonzero(np.append(second[1:] != second[:-1], True)) if second.size else np.zeros(0, dtype=np.int64)
    doubled = (book.after.bid[last] + book.after.ask[last]) * spec.tick_units
    places = spec.price_decimals + 1
    mark = decimal_texts(doubled * 5, places).tolist()
    index = decimal_texts(doubled * 5 - doubled // 4_000, places).tolist()
    times = second[last]
    payloads = [
        b'{"e":"markPrice","E":%d,"s":"%b","p":"%b","ap":"%b","i":"%b","P":"%b","r":"%b","T":%d,"st":1}'
        % (at, engine.symbol.encode(), price, price, spot, spot, _funding(at), (at // FUNDING_MS + 1) * FUNDING_MS)
        for at, price, spot in zip(times.tolist(), map(_bare, mark), map(_bare, index), strict=True)
    ]
    return times, payloads


def forced_orders(engine: Engine, block: Block) -> tuple[Ints, list[bytes]]:
    """Return the liquidations: of the large takers some, and of those the latest of each second, as the exchange shows."""
    spec, trades = engine.spec, block.trades
    is_forced = (trades.lots >= _LARGE * spec.trade_lots) & (trades.agg_id % _ONE_IN == 0)
    found = np.flatnonzero(is_forced)
    second = trades.time_ms[found] // SECOND_MS
    shown = found[np.append(second[1:] != second[:-1], True)] if found.size else found
    prices = decimal_texts(trades.tick[shown] * spec.tick_units, spec.price_decimals).tolist()
    sizes = decimal_texts(trades.lots[shown] * spec.lot_units, spec.qty_decimals).tolist()
    symbol, payloads = engine.symbol.encode(), []
    times = trades.time_ms[shown]
    for at, price, size, is_buy in zip(
        times.tolist(), map(_bare, prices), map(_bare, sizes), trades.buy[shown].tolist(), strict=True
    ):
        order = (
            b'{"s":"%b","S":"%b","o":"LIMIT","f":"IOC","q":"%b","p":"%b","ap":"%b","X":"FILLED","l":"%b","z":"%b","T":%d}'
            % (symbol, b"BUY" if is_buy else b"SELL", size, price, price, size, size, at)
        )
        payloads.append(b'{"e":"forceOrder","E":%d,"o":%b}' % (at + _PUSH_AFTER_MS, order))
    return times + _PUSH_AFTER_MS, payloads


def _funding(at_ms: int) -> bytes:
    """Return a funding rate of around a hundredth of a percent that changes with every funding period."""
    return b"0.%08d" % (8_000 + at_ms // FUNDING_MS % 7 * 700)


def _bare(text: bytes) -> bytes:
    return text.replace(b"\0", b"")
