"""From spool lines to rows: what is well formed, what is not, and the captures of real markets."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

Frame: TypeAlias = Mapping[str, object]
Level: TypeAlias = tuple[Fraction, Fraction]
Parsed = TypeVar("Parsed")

NUMBER: Final = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
UNITS: Final = 10**8
LIMIT: Final = 10**18
MICROSECOND_DIGITS: Final = 16


class Malformed(ValueError):  # noqa: N818 - a verdict on a line, not an error of ours
    """A field that is needed is missing, of the wrong type, or no number."""


@dataclass(frozen=True)
class TradeFrame:
    """One well-formed trade as it was received, once per frame."""

    trade_id: int
    price: Fraction
    qty: Fraction
    trade_ms: int
    event_ms: int | None
    side: str
    recv_ns: int
    conn: str
    is_rest: bool
    admitted: bool


@dataclass(frozen=True)
class BookFrame:
    """One well-formed book message as it was received, once per frame."""

    u: int
    pu: int | None
    clock_ms: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    recv_ns: int
    conn: str


def symbol_of(frames: Iterable[Frame]) -> str:
    """Return the one symbol the frames are about, from their stream names; empty if there are none."""
    symbols = {str(frame["stream"]).partition("@")[0].upper() for frame in frames if "stream" in frame}
    if len(symbols) > 1:
        message = f"expected frames of one symbol, found {sorted(symbols)}"
        raise ValueError(message)
    return symbols.pop() if symbols else ""


def trade_frames(frames: Iterable[Frame], stream: str) -> list[TradeFrame]:
    """Return the well-formed trades of one stream; admitted or not, their ids were seen."""
    return list(_well_formed(frames, stream, parse_trade))


def book_frames(frames: Iterable[Frame], stream: str) -> list[BookFrame]:
    """Return the well-formed book messages of one stream."""
    return list(_well_formed(frames, stream, parse_book))


def _well_formed(frames: Iterable[Frame], stream: str, parse: Callable[[Frame], Parsed]) -> Iterator[Parsed]:
    for frame in frames:
        if str(frame.get("stream")).partition("@")[2] == stream:
            try:
                yield parse(frame)
            except Malformed:
                continue


def parse_trade(frame: Frame) -> TradeFrame:
    """Return the trade of a frame, or raise `Malformed`."""
    data, recv_ns, conn = _envelope(frame)
    is_trade = str(frame["stream"]).endswith("@trade")
    is_rest = conn == "rest"
    price, qty = number(data.get("p")), number(data.get("q"))
    trade_ms = integer(data.get("T"))
    event_ms = None if is_rest or data.get("E") is None else integer(data["E"])
    seller_took = data.get("m")
    if not isinstance(seller_took, bool):
        raise Malformed
    in_time = event_ms is None or trade_ms <= event_ms + 1_000
    of_the_market = not is_trade or data.get("X") in (None, "MARKET")
    return TradeFrame(
        trade_id=integer(data.get("t" if is_trade else "a")),
        price=price,
        qty=qty,
        trade_ms=trade_ms,
        event_ms=event_ms,
        side="sell" if seller_took else "buy",
        recv_ns=recv_ns,
        conn=conn,
        is_rest=is_rest,
        admitted=price > 0 and qty > 0 and in_time and of_the_market,
    )


def parse_book(frame: Frame) -> BookFrame:
    """Return the book of a frame (futures or spot, partial depth or best quote), or raise `Malformed`."""
    data, recv_ns, conn = _envelope(frame)
    bids: object
    asks: object
    if str(frame["stream"]).endswith("@bookTicker"):
        bids, asks = [[data.get("b"), data.get("B")]], [[data.get("a"), data.get("A")]]
    else:
        bids, asks = data.get("b", data.get("bids")), data.get("a", data.get("asks"))
    clock = next((data[key] for key in ("T", "E") if data.get(key) is not None), recv_ns // 1_000_000)
    return BookFrame(
        u=integer(data.get("u", data.get("lastUpdateId"))),
        pu=None if data.get("pu") is None else integer(data["pu"]),
        clock_ms=integer(clock),
        bids=_side(bids),
        asks=_side(asks),
        recv_ns=recv_ns,
        conn=conn,
    )


def _envelope(frame: Frame) -> tuple[Mapping[str, object], int, str]:
    data = frame.get("data")
    if not isinstance(data, Mapping):
        raise Malformed
    return data, integer(frame.get("recv_ns")), str(frame.get("conn"))


def _side(levels: object) -> tuple[Level, ...]:
    if not isinstance(levels, list):
        raise Malformed
    out = []
    for level in levels:
        if not isinstance(level, list) or len(level) != 2:
            raise Malformed
        out.append((number(level[0]), number(level[1])))
    return tuple(out)


def number(text: object) -> Fraction:
    """Return the exact value of a plain decimal text of at most eight decimals, below 1e18.

    Prices and quantities are JSON strings on the wire.
    """
    if not isinstance(text, str) or not NUMBER.fullmatch(text):
        raise Malformed
    value = Fraction(text)
    if (value * UNITS).denominator != 1 or abs(value) >= LIMIT:
        raise Malformed
    return value


def integer(value: object) -> int:
    """Return an id or a time; a JSON true is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Malformed
    return value


def read_capture(path: Path | str, symbol: str) -> list[dict[str, object]]:
    """Return the frames of one symbol from a capture: gzip, lines `<local ns or us> <json>`."""
    return list(_capture_frames(Path(path), symbol.lower() + "@"))


def _capture_frames(path: Path, prefix: str) -> Iterator[dict[str, object]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            local, _, text = line.partition(" ")
            message = json.loads(text)
            if not str(message.get("stream", "")).startswith(prefix):
                continue  # a REST snapshot, or another symbol
            recv_ns = int(local) * (1_000 if len(local) == MICROSECOND_DIGITS else 1)
            yield {"recv_ns": recv_ns, "conn": "import", "stream": message["stream"], "data": message["data"]}
