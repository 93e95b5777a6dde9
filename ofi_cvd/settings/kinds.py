"""What a value may be: patterns, checks and types of settings; each check says in one phrase what it accepts."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

SYMBOL_PATTERN = re.compile(r"[A-Z0-9]{2,20}(_[0-9]{6}|_PERP)?")
STREAM_PATTERN = re.compile(r"aggTrade|trade|bookTicker|depth(5|10|20)(@100ms|@250ms|@500ms)?")
BOOK_PATTERN = re.compile(r"bookTicker|depth(5|10|20)(@100ms|@250ms|@500ms)?|depth(@(0|100|250|500)ms)?")
SOURCE_PATTERN = re.compile(rf"{BOOK_PATTERN.pattern}|tardisL2|tardisBook5|tardisBook25|tardisTicker|none")
CONTEXT_PATTERN = re.compile(r"forceOrder|markPrice@1s")
NO_SOURCE = "none"

_DAY_S = 86_400


def check_symbol(symbol: str) -> str:
    """Return `symbol`, or raise ValueError: only upper-case letters and digits may become part of a path."""
    return _matching(symbol, SYMBOL_PATTERN, "upper-case exchange symbols such as BTCUSDT,ETHUSDT")


def _matching(text: str, pattern: re.Pattern[str], accepts: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(accepts)
    return text


def _book_stream(text: str) -> str:
    accepts = "bookTicker, depth5@100ms, depth10@100ms, depth20@100ms, or a diff stream such as depth@100ms"
    return _matching(text, BOOK_PATTERN, accepts)


def _book_source(text: str) -> str:
    """Let an empty text stand for the first of `BOOK_STREAMS`."""
    accepts = (
        "one stream such as depth10@100ms or bookTicker, a diff stream such as depth@100ms, "
        "tardisL2, tardisBook5, tardisBook25, tardisTicker, or none"
    )
    return text and _matching(text, SOURCE_PATTERN, accepts)


def _context_stream(text: str) -> str:
    return _matching(text, CONTEXT_PATTERN, "forceOrder, markPrice@1s, both or neither")


def _endpoint(text: str) -> str:
    accepts = "binance, or the http URL of an exchange such as http://127.0.0.1:9443"
    return _matching(text, re.compile(r"binance|https?://[^\s/]+/?"), accepts).rstrip("/")


def _metrics_addr(text: str) -> str:
    found = re.fullmatch(r"[^\s:]+:(\d{1,5})|off", text)
    if not found or int(found[1] or 0) > 65_535:
        raise ValueError("host:port such as 127.0.0.1:9108, or off")
    return text


def _weight(text: str) -> str:
    try:
        weight = Decimal(text)
    except InvalidOperation:
        weight = Decimal(-1)
    if not weight.is_finite() or weight < 0:
        raise ValueError("decimal weights of zero or more such as 0.40,0.25,0.20,0.10,0.05")
    return text


def _by_symbol(text: str, accepts: str, check: re.Pattern[str]) -> str:
    """Check a single value or a map `BTCUSDT=12,*=2.0`."""
    for part in text.split(","):
        key, has_key, value = part.strip().rpartition("=")
        if not check.fullmatch(value) or (has_key and key != "*" and not SYMBOL_PATTERN.fullmatch(key)):
            raise ValueError(accepts)
    if "=" not in text and "," in text:
        raise ValueError(accepts)
    return text


def _fee_tier(text: str) -> str:
    return _by_symbol(text, "TL, TM or TH, or a map such as BTCUSDT=TL,*=TM", re.compile("TL|TM|TH"))


def _active_tps(text: str) -> str:
    number = re.compile(r"\d+(\.\d+)?|q(0(\.\d+)?|1(\.0+)?)")
    return _by_symbol(text, "a rate such as 2.0, a quantile such as q0.5, or a map such as BTCUSDT=12,*=2.0", number)


def _session_hours(text: str) -> str:
    accepts = "hours of the day for the three sessions, without overlap, such as Tokyo=0-8,London=8-16,NY=16-24"
    taken: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(Tokyo|London|NY)=(\d{1,2})-(\d{1,2})\s*", part)
        hours = set(range(int(match[2]), int(match[3]))) if match else set()
        if not hours or max(hours) > 23 or hours & taken:
            raise ValueError(accepts)
        taken |= hours
    return text


def _split(value: object) -> object:
    """Let `A,B` and `["A", "B"]` both stand for a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _text(value: object) -> object:
    """Keep numbers given in TOML as the text they were written in."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Symbols = Annotated[
    tuple[Annotated[str, AfterValidator(check_symbol)], ...], BeforeValidator(_split), Field(min_length=1)
]
BookStreams = Annotated[
    tuple[Annotated[str, AfterValidator(_book_stream)], ...], BeforeValidator(_split), Field(min_length=1)
]
BookSource = Annotated[str, AfterValidator(_book_source)]
ContextStreams = Annotated[tuple[Annotated[str, AfterValidator(_context_stream)], ...], BeforeValidator(_split)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
MetricsAddress = Annotated[str, AfterValidator(_metrics_addr)]
LevelWeights = Annotated[
    tuple[Annotated[str, BeforeValidator(_text), AfterValidator(_weight)], ...], BeforeValidator(_split)
]
ActiveTps = Annotated[str, BeforeValidator(_text), AfterValidator(_active_tps)]
FeeTier = Annotated[str, AfterValidator(_fee_tier)]
SessionHours = Annotated[str, AfterValidator(_session_hours)]

Seconds = Annotated[int, Field(ge=1, le=31 * _DAY_S)]
SecondsOrNone = Annotated[int, Field(ge=0, le=31 * _DAY_S)]
SecondsOfDay = Annotated[int, Field(ge=0, le=_DAY_S)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
