"""The venue's stream names, routes and frames, translated once into our words (docs/protocol.md).

Frames are parsed leniently: unknown keys are ignored and keys may come in any order; prices and sizes stay text.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

import msgspec

from ofi_cvd.settings import STREAM_PATTERN, SYMBOL_PATTERN

Market: TypeAlias = Literal["usdm", "spot"]
Route: TypeAlias = Literal["market", "public"]
Level: TypeAlias = tuple[str, str]

DIFF_DEPTH = re.compile(r"depth(@(0|100|250|500)ms)?")
CONTEXT_STREAMS: Final = ("forceOrder", "markPrice@1s")
"""Streams that say what surrounds the market: liquidations, a sample of them, and the mark price."""
TRADE_ID_PATHS: Final = {"aggTrade": "$.data.a", "trade": "$.data.t"}
"""Where a spool line of a trade stream has its id, as a JSON path."""
SNAPSHOT_ID_KEY: Final = "lastUpdateId"
"""The key that tells a book snapshot from a stream's message."""
_PARTIAL = re.compile(r"depth(5|10|20)(?:@|$)")


def stream_name(symbol: str, stream: str) -> str:
    """Return the venue's name of a stream, `btcusdt@aggTrade`."""
    return f"{symbol.lower()}@{stream}"


def parse_stream(name: str) -> tuple[str, str] | None:
    """Return `(symbol, stream)` of a venue name, the symbol upper-cased; None for any name that is not plainly one."""
    lower, at, stream = name.partition("@")
    symbol = lower.upper()
    if not at or not name.isascii() or lower != lower.lower() or not SYMBOL_PATTERN.fullmatch(symbol):
        return None
    known = STREAM_PATTERN.fullmatch(stream) or DIFF_DEPTH.fullmatch(stream) or stream in CONTEXT_STREAMS
    return (symbol, stream) if known else None


def route(stream: str, market: Market) -> Route | None:
    """Return the routed root a stream is served on; None for spot, which has no routes.

    On the wrong root a futures subscription is acknowledged and then silent
    (docs/protocol.md#routes, docs/protocol.md#undocumented-streams).
    """
    if market == "spot":
        return None
    return "market" if stream == "aggTrade" or stream in CONTEXT_STREAMS else "public"


IMPORTED_LEVELS: Final = {"tardisTicker": 1, "tardisBook5": 5, "tardisBook25": 25}
"""Levels a side of book sources that only an import brings."""


def depth_levels(stream: str) -> int | None:
    """Return how many levels a side of the book has at most: 5, 10 or 20, `bookTicker` 1; None for no such stream."""
    if stream == "bookTicker":
        return 1
    if stream in IMPORTED_LEVELS:
        return IMPORTED_LEVELS[stream]
    match = _PARTIAL.match(stream)
    return int(match[1]) if match else None


class AggTrade(msgspec.Struct, frozen=True, gc=False):
    """Fills of one taker at one price within 100 ms; `event_ms` is None where it came over REST."""

    trade_id: int = msgspec.field(name="a")
    price: str = msgspec.field(name="p")
    qty: str = msgspec.field(name="q")
    trade_ms: int = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")
    first_fill_id: int | None = msgspec.field(name="f", default=None)
    last_fill_id: int | None = msgspec.field(name="l", default=None)
    event_ms: int | None = msgspec.field(name="E", default=None)
    symbol: str | None = msgspec.field(name="s", default=None)


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One fill; `kind` is absent on spot and otherwise MARKET, INSURANCE_FUND, ADL or NA (a placeholder)."""

    trade_id: int = msgspec.field(name="t")
    price: str = msgspec.field(name="p")
    qty: str = msgspec.field(name="q")
    trade_ms: int = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")
    kind: str | None = msgspec.field(name="X", default=None)
    event_ms: int | None = msgspec.field(name="E", default=None)
    symbol: str | None = msgspec.field(name="s", default=None)


class BookTicker(msgspec.Struct, frozen=True, gc=False):
    """The best quotes; spot sends no times."""

    update_id: int = msgspec.field(name="u")
    bid_price: str = msgspec.field(name="b")
    bid_qty: str = msgspec.field(name="B")
    ask_price: str = msgspec.field(name="a")
    ask_qty: str = msgspec.field(name="A")
    trade_ms: int | None = msgspec.field(name="T", default=None)
    event_ms: int | None = msgspec.field(name="E", default=None)
    symbol: str | None = msgspec.field(name="s", default=None)


class Depth(msgspec.Struct, frozen=True):
    """A futures book message: the best levels, or changes of levels; which of the two only the stream name says."""

    update_id: int = msgspec.field(name="u")
    bids: list[Level] = msgspec.field(name="b")
    asks: list[Level] = msgspec.field(name="a")
    first_update_id: int | None = msgspec.field(name="U", default=None)
    previous_update_id: int | None = msgspec.field(name="pu", default=None)
    trade_ms: int | None = msgspec.field(name="T", default=None)
    event_ms: int | None = msgspec.field(name="E", default=None)
    symbol: str | None = msgspec.field(name="s", default=None)


class SpotDepth(msgspec.Struct, frozen=True):
    """A spot partial book, or a REST snapshot: no symbol and, on spot, no time."""

    update_id: int = msgspec.field(name="lastUpdateId")
    bids: list[Level]
    asks: list[Level]
    trade_ms: int | None = msgspec.field(name="T", default=None)
    event_ms: int | None = msgspec.field(name="E", default=None)


class Envelope(msgspec.Struct, frozen=True):
    """A combined-stream frame; answers to requests and errors have no `stream`."""

    stream: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


Message: TypeAlias = AggTrade | Trade | BookTicker | Depth | SpotDepth

_ENVELOPE = msgspec.json.Decoder(Envelope)
_AGG_TRADE = msgspec.json.Decoder(AggTrade)
_TRADE = msgspec.json.Decoder(Trade)
_BOOK_TICKER = msgspec.json.Decoder(BookTicker)
_DEPTH = msgspec.json.Decoder(Depth)
_SPOT_DEPTH = msgspec.json.Decoder(SpotDepth)


def parse_envelope(raw: bytes | str) -> Envelope:
    """Return a frame's stream name and its undecoded data.

    Raises:
        msgspec.DecodeError: not a JSON object (`msgspec.ValidationError` is a kind of it).
    """
    return _ENVELOPE.decode(raw)


def parse_data(stream: str, data: bytes | msgspec.Raw) -> Message:
    """Return the message that `data` holds for a stream such as `aggTrade` or `depth10@100ms`.

    Raises:
        msgspec.DecodeError: torn, or a needed field is missing or of another type.
        ValueError: a stream that has no frames of ours.
    """
    if stream == "aggTrade":
        return _AGG_TRADE.decode(data)
    if stream == "trade":
        return _TRADE.decode(data)
    if stream == "bookTicker":
        return _BOOK_TICKER.decode(data)
    if not stream.startswith("depth"):
        raise ValueError(f"expected a stream such as aggTrade or depth10@100ms, found {stream!r}")
    try:
        return _DEPTH.decode(data)
    except msgspec.ValidationError:
        return _SPOT_DEPTH.decode(data)
