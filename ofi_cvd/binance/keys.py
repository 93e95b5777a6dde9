"""The few facts the recorder needs of a frame while it passes: which stream, which id, which clock.

A frame is checked just enough to know that readers of the spool will accept it: an id counts as seen only then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from ofi_cvd.binance.wire import CONTEXT_STREAMS, DIFF_DEPTH, parse_envelope

Control: TypeAlias = Literal["ack", "error", "shutdown", "stray", "garbage"]


class Key(NamedTuple):
    """What identifies a frame within its stream.

    Attributes:
        id: equal for two receipts of the same message, on whatever connection.
        number: the id that grows: trade id or update id.
        previous: the update id that comes just before, where the venue says so.
        event_ms: the venue's push time; None where there is none.
        content: a digest of what the message says, to tell repetitions from other content; 0 if it is not compared.
    """

    id: int
    number: int
    previous: int | None
    event_ms: int | None
    content: int = 0


class _AggTrade(msgspec.Struct, gc=False):
    a: int
    p: str
    q: str
    T: int
    m: bool
    E: int | None = None


class _Trade(msgspec.Struct, gc=False):
    t: int
    p: str
    q: str
    T: int
    m: bool
    E: int | None = None


class _BookTicker(msgspec.Struct, gc=False):
    u: int
    b: str
    B: str
    a: str
    A: str
    E: int | None = None


class _Depth(msgspec.Struct, gc=False):
    u: int
    pu: int | None = None
    E: int | None = None


class _SpotDiff(msgspec.Struct, gc=False):
    U: int
    u: int
    E: int | None = None


class _Event(msgspec.Struct, gc=False):
    E: int


class _SpotDepth(msgspec.Struct, gc=False):
    lastUpdateId: int  # noqa: N815  # the venue's word


class _AggTradeFrame(msgspec.Struct, gc=False):
    data: _AggTrade


class _TradeFrame(msgspec.Struct, gc=False):
    data: _Trade


class _BookTickerFrame(msgspec.Struct, gc=False):
    data: _BookTicker


class _DepthFrame(msgspec.Struct, gc=False):
    data: _Depth


class _SpotDepthFrame(msgspec.Struct, gc=False):
    data: _SpotDepth


class _SpotDiffFrame(msgspec.Struct, gc=False):
    data: _SpotDiff


class _EventFrame(msgspec.Struct, gc=False):
    data: _Event


_read_agg_trade = msgspec.json.Decoder(_AggTradeFrame).decode
_read_trade = msgspec.json.Decoder(_TradeFrame).decode
_read_book_ticker = msgspec.json.Decoder(_BookTickerFrame).decode
_read_depth = msgspec.json.Decoder(_DepthFrame).decode
_read_spot_depth = msgspec.json.Decoder(_SpotDepthFrame).decode
_read_spot_diff = msgspec.json.Decoder(_SpotDiffFrame).decode
_read_event = msgspec.json.Decoder(_EventFrame).decode
_read_snapshot = msgspec.json.Decoder(_SpotDepth).decode
_PREFIX = b'{"stream":"'


def _agg_trade(frame: bytes) -> Key:
    data = _read_agg_trade(frame).data
    return Key(data.a, data.a, None, data.E, hash((data.p, data.q, data.T, data.m)))


def _trade(frame: bytes) -> Key:
    data = _read_trade(frame).data
    return Key(data.t, data.t, None, data.E, hash((data.p, data.q, data.T, data.m)))


def _book_ticker(frame: bytes) -> Key:
    # One update id may stand for several quotes, so the quote is part of what identifies it.
    data = _read_book_ticker(frame).data
    return Key(hash((data.u, data.b, data.B, data.a, data.A)), data.u, None, data.E)


def _depth(frame: bytes) -> Key:
    data = _read_depth(frame).data
    return Key(data.u, data.u, data.pu, data.E, hash(frame[frame.find(b'"b":') :]))


def _spot_depth(frame: bytes) -> Key:
    number = _read_spot_depth(frame).data.lastUpdateId
    return Key(number, number, None, None, hash(frame[frame.find(b'"bids":') :]))


def _spot_diff(frame: bytes) -> Key:
    # The ids of spot's changes are ranges without a hole: the one before ends where this one begins.
    data = _read_spot_diff(frame).data
    return Key(data.u, data.u, data.U - 1, data.E, hash(frame[frame.find(b'"b":') :]))


def _context(frame: bytes) -> Key:
    # Forced orders have no id, so identical payloads are one; mark prices have one push time each.
    event_ms = _read_event(frame).data.E
    return Key(hash(frame[frame.find(b'"data":') :]), event_ms, None, event_ms)


def key_reader(stream: str, market: str) -> Callable[[bytes], Key]:
    """Return the function that reads the key of a frame or spool line of `stream`.

    The function raises `msgspec.DecodeError` for a frame that is no JSON or misses what the stream's readers need.
    """
    if stream in ("aggTrade", "trade"):
        return _agg_trade if stream == "aggTrade" else _trade
    if stream == "bookTicker":
        return _book_ticker
    if stream in CONTEXT_STREAMS:
        return _context
    if market == "spot" and DIFF_DEPTH.fullmatch(stream):
        return _spot_diff
    return _spot_depth if market == "spot" else _depth


def is_chained(stream: str, market: str) -> bool:
    """Return whether the updates of a book stream name the one before them."""
    return stream.startswith("depth") and (market != "spot" or is_diff(stream))


def is_diff(stream: str) -> bool:
    """Return whether a stream carries changes of the full book rather than books."""
    return DIFF_DEPTH.fullmatch(stream) is not None


def snapshot_id(body: bytes) -> int | None:
    """Return the update id that a book snapshot stands at; None if it cannot be read."""
    try:
        return _read_snapshot(body).lastUpdateId
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def stream_of(frame: bytes) -> bytes:
    """Return the venue's stream name of a frame by a glance at its beginning; empty if it does not begin as usual."""
    return frame[11 : frame.find(b'"', 11)] if frame.startswith(_PREFIX) else b""


def stream_of_any(frame: bytes) -> bytes:
    """Return the stream name of a frame whose keys come in another order; empty if it has none or is no JSON."""
    try:
        return (parse_envelope(frame).stream or "").encode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return b""


def control_kind(frame: bytes) -> Control:
    """Return what a frame is that belongs to no stream of ours.

    `ack` answers a request, `error` refuses one, `shutdown` announces the end of the connection, `stray` is JSON of
    another stream, `garbage` is no JSON object.
    """
    try:
        message = _CONTROL.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "garbage"
    if message.stream == "!serverShutdown" or message.e == "serverShutdown":
        return "shutdown"
    if message.error is not None or message.code is not None:
        return "error"
    return "ack" if message.stream is None and message.id is not None else "stray"


class _Control(msgspec.Struct):
    stream: str | None = None
    e: object = None
    id: object = None
    error: object = None
    code: object = None


_CONTROL = msgspec.json.Decoder(_Control)


FIRST_TRADE_MS = 1_483_228_800_000  # 2017-01-01: the venue opened later
AHEAD_MS = 86_400_000


class RestTrade(msgspec.Struct, gc=False):
    """What is read of an aggregate trade as REST gives it."""

    trade_id: int = msgspec.field(name="a")
    trade_ms: int = msgspec.field(name="T")
    price: str = msgspec.field(name="p")
    qty: str = msgspec.field(name="q")
    buyer_is_maker: bool = msgspec.field(name="m")

    def is_plausible(self, now_ms: int) -> bool:
        """Return whether this can be a trade: a time in microseconds or a negative one cannot, nor a text as price."""
        if self.trade_id < 0 or not FIRST_TRADE_MS <= self.trade_ms <= now_ms + AHEAD_MS:
            return False
        try:
            return math.isfinite(float(self.price)) and math.isfinite(float(self.qty))
        except ValueError:
            return False
