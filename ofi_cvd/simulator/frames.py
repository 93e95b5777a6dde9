"""The market as wire text: one function a stream, whole blocks at a time.

Payloads are the `data` objects of the USD-M combined streams.  Every stream
of a symbol is drawn from the same block, hence consistent with the others:

- `aggTrade` and `trade`: each aggregated trade is the sum of the fills `f` to
  `l`; the fills' ids, times, prices and sizes add up.  Placeholder rows of
  `trade` (`X` = `NA`) take the ids that `f` jumps over.
- `depth5/10/20@100ms`: prefixes of one ladder, with the same update ids.
- `bookTicker`: the last update of a step has the touch, and an update id not
  above, of the depth frame of that step.
- `depth@100ms`: every change of a book of `FULL_DEPTH` levels a side, whose best are those of `depth20@100ms`.
  Snapshots of it show `SNAPSHOT_LIMIT` levels, some hundred milliseconds after the state they are of.
- Trades print at the touch that `bookTicker` shows at their time, or through it
  while a move is under way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ofi_cvd.errors import InputError
from ofi_cvd.simulator.arrivals import MAX_LOTS
from ofi_cvd.simulator.context import forced_orders, mark_prices
from ofi_cvd.simulator.depth import FULL_DEPTH, snapshot_levels
from ofi_cvd.simulator.quotes import quote_updates
from ofi_cvd.simulator.text import Ladder, choose, grid_texts, integer_texts, render, size_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ofi_cvd.simulator.blocks import Block, Ints
    from ofi_cvd.simulator.engine import Engine
    from ofi_cvd.simulator.instruments import Instrument
    from ofi_cvd.simulator.text import Texts

    Parts = list[bytes | Texts | Ladder]

SNAPSHOT_MS: Final = 900_000
SNAPSHOT_LIMIT: Final = 1000
SNAPSHOT_DELAY_MS: Final = 180  # between the state a snapshot is of and the moment its answer is there


@dataclass(frozen=True, slots=True)
class Payloads:
    """The messages of one stream in a block: when each is pushed (ms) and its text, in parts or `whole`."""

    event_ms: Ints
    parts: Parts
    whole: list[bytes] | None = None

    def texts(self) -> list[bytes]:
        """Return the payloads one by one, in the order of `event_ms`."""
        return self.whole if self.whole is not None else render(self.event_ms.size, [*self.parts, b"\n"]).splitlines()


def payloads(stream: str, engine: Engine, block: Block) -> Payloads:
    """Return the messages of `stream` (the name after `@`) in `block`.

    Ask for a stream at most once a block: `bookTicker` draws as it is written.

    Raises:
        InputError: the simulated market has no such stream.
    """
    try:
        make = _MAKERS[stream]
    except KeyError:
        raise InputError(f"expected a stream among {', '.join(STREAMS)}, found {stream!r}") from None
    return make(engine, block)


def _agg_trades(engine: Engine, block: Block) -> Payloads:
    spec, trades = engine.spec, block.trades
    parts: Parts = [
        b'{"e":"aggTrade","E":', integer_texts(trades.event_ms),
        b',"s":"' + engine.symbol.encode() + b'","a":', integer_texts(trades.agg_id),
        b',"p":"', _prices(spec, trades.tick),
        b'","q":"', _sizes(spec, trades.lots),
        b'","nq":"', _sizes(spec, trades.net_lots),
        b'","f":', integer_texts(trades.first_id),
        b',"l":', integer_texts(trades.last_id),
        b',"T":', integer_texts(trades.time_ms),
        b',"m":', choose(trades.buy, b"false", b"true"),
        b',"st":1}',
    ]  # fmt: skip
    return Payloads(trades.event_ms, parts)


def _fills(engine: Engine, block: Block) -> Payloads:
    spec, trades = engine.spec, block.trades
    fills = trades.last_id - trades.first_id + 1
    rows = fills + trades.placeholders
    of = np.repeat(np.arange(rows.size), rows)
    place = np.arange(of.size) - (np.cumsum(rows) - rows)[of] - trades.placeholders[of]
    real = place >= 0
    # A trade of q lots in n fills: each q // n, the first takes the remainder as well.
    each = trades.lots // fills
    lots = each[of] + np.where(place == 0, (trades.lots - each * fills)[of], 0)
    price, size = _prices(spec, trades.tick), _sizes(spec, lots)
    event_ms = trades.event_ms[of]
    parts: Parts = [
        b'{"e":"trade","E":', integer_texts(event_ms),
        b',"T":', integer_texts(trades.time_ms[of]),
        b',"s":"' + engine.symbol.encode() + b'","t":', integer_texts(trades.first_id[of] + place),
        b',"p":"', np.where(real, price[of], b"0"),
        b'","q":"', np.where(real, size, b"0"),
        b'","X":"', choose(real, b"MARKET", b"NA"),
        b'","m":', choose(real & trades.buy[of], b"false", b"true"),
        b',"st":1}',
    ]  # fmt: skip
    return Payloads(event_ms, parts)


def _book_tickers(engine: Engine, block: Block) -> Payloads:
    spec, symbol = engine.spec, engine.symbol.encode()
    quotes = quote_updates(block.book, spec.quotes_per_s * engine.rate, spec.trades_per_s, engine.quote_rng)
    when = integer_texts(quotes.time_ms)
    parts: Parts = [
        b'{"e":"bookTicker","u":', integer_texts(quotes.update),
        b',"E":', when,
        b',"T":', when,
        b',"s":"' + symbol + b'","ps":"' + symbol + b'","b":"', _prices(spec, quotes.touch.bid),
        b'","B":"', _sizes(spec, quotes.touch.bid_lots),
        b'","a":"', _prices(spec, quotes.touch.ask),
        b'","A":"', _sizes(spec, quotes.touch.ask_lots),
        b'","st":1}',
    ]  # fmt: skip
    return Payloads(quotes.time_ms, parts)


def _depth(levels: int) -> Callable[[Engine, Block], Payloads]:
    def make(engine: Engine, block: Block) -> Payloads:
        spec, symbol, book = engine.spec, engine.symbol.encode(), block.book
        bids, asks = engine.levels(book, levels)
        parts: Parts = [
            b'{"e":"depthUpdate","E":', integer_texts(book.event_ms),
            b',"T":', integer_texts(book.time_ms),
            b',"s":"' + symbol + b'","ps":"' + symbol + b'","st":1,"U":', integer_texts(book.first_update),
            b',"u":', integer_texts(book.last_update),
            b',"pu":', integer_texts(book.previous_update),
            b',"b":[', Ladder(_prices(spec, bids.ticks), _sizes(spec, bids.lots)),
            b'],"a":[', Ladder(_prices(spec, asks.ticks), _sizes(spec, asks.lots)),
            b"]}",
        ]  # fmt: skip
        return Payloads(book.event_ms, parts)

    return make


def _depth_diffs(engine: Engine, block: Block) -> Payloads:
    """Return every change of the full book, under the update ids of `depth20@100ms`; the very first is the whole book."""
    book, symbol = block.book, engine.symbol.encode()
    bids, asks = engine.full_book.diffs(book, engine.depth_model, engine.spec)
    ids = (book.event_ms, book.time_ms, book.first_update, book.last_update, book.previous_update)
    columns = zip(*(column.tolist() for column in ids), bids, asks, strict=True)
    whole = [
        b'{"e":"depthUpdate","E":%d,"T":%d,"s":"%b","ps":"%b","st":1,"U":%d,"u":%d,"pu":%d,"b":[%b],"a":[%b]}'
        % (event_ms, time_ms, symbol, symbol, first, last, previous, bid, ask)
        for event_ms, time_ms, first, last, previous, bid, ask in columns
    ]
    return Payloads(book.event_ms, [], whole)


def _snapshots(engine: Engine, block: Block) -> Payloads:
    """Return the REST books of a recorder that asks every `SNAPSHOT_MS`, pushed when the answer arrives."""
    book = block.book
    window = book.event_ms // SNAPSHOT_MS
    rows = np.flatnonzero(np.append(True, window[1:] != window[:-1])) if window.size else np.zeros(0, dtype=np.int64)
    whole = [_rest_book(engine, block, row, SNAPSHOT_LIMIT) for row in rows.tolist()]
    return Payloads(book.event_ms[rows] + SNAPSHOT_DELAY_MS, [], whole)


def whole_book(engine: Engine, block: Block) -> bytes:
    """Return the whole book after the first row of a block, as REST would show it without a limit."""
    return _rest_book(engine, block, 0, FULL_DEPTH)


def _rest_book(engine: Engine, block: Block, row: int, limit: int) -> bytes:
    book = block.book
    bids, asks = snapshot_levels(book, row, limit, engine.depth_model, engine.spec)
    head = (int(book.last_update[row]), int(book.event_ms[row]), int(book.time_ms[row]))
    return b'{"lastUpdateId":%d,"E":%d,"T":%d,"bids":[%b],"asks":[%b]}' % (*head, bids, asks)


def _context(make: Callable[[Engine, Block], tuple[Ints, list[bytes]]]) -> Callable[[Engine, Block], Payloads]:
    def payloads_of(engine: Engine, block: Block) -> Payloads:
        event_ms, whole = make(engine, block)
        return Payloads(event_ms, [], whole)

    return payloads_of


_MAKERS: Final[Mapping[str, Callable[[Engine, Block], Payloads]]] = {
    "aggTrade": _agg_trades,
    "trade": _fills,
    "bookTicker": _book_tickers,
    "depth5@100ms": _depth(5),
    "depth10@100ms": _depth(10),
    "depth20@100ms": _depth(20),
    "depth@100ms": _depth_diffs,
    "depthSnapshot": _snapshots,
    "markPrice@1s": _context(mark_prices),
    "forceOrder": _context(forced_orders),
}

RECORDED: Final = tuple(_MAKERS)
"""The streams that a simulated recording can hold, by the name after `@`."""

STREAMS: Final = tuple(stream for stream in _MAKERS if stream != "depthSnapshot")
"""The streams the simulated market can speak on a socket; a snapshot is asked for over REST."""


def _prices(spec: Instrument, ticks: Ints) -> Texts:
    return grid_texts(ticks, spec.tick_units, spec.price_decimals)


def _sizes(spec: Instrument, lots: Ints) -> Texts:
    return size_table(MAX_LOTS, spec.lot_units, spec.qty_decimals).take(lots)
