"""The venue's letters: stream names, routes, and frames read leniently."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofi_cvd.binance.wire import (
    AggTrade,
    BookTicker,
    Depth,
    SpotDepth,
    Trade,
    depth_levels,
    parse_data,
    parse_envelope,
    parse_stream,
    route,
    stream_name,
)
from ofi_cvd.settings import STREAM_PATTERN, SYMBOL_PATTERN

CAPTURES = Path("../shared/data/raw")
STREAMS = ("aggTrade", "trade", "bookTicker", "depth5", "depth10@100ms", "depth20@500ms", "depth", "depth@0ms")


@given(st.from_regex(SYMBOL_PATTERN, fullmatch=True), st.sampled_from(STREAMS))
def test_a_stream_name_parses_back(symbol: str, stream: str) -> None:
    assert parse_stream(stream_name(symbol, stream)) == (symbol, stream)


@pytest.mark.parametrize(
    "name",
    ["", "@", "btcusdt", "btcusdt@", "@trade", "BTCUSDT@trade", "btcusdt@kline_1m", "btcusdt@depth7", "btcusdt@Trade",
     "../../etc@trade", "btcusdt@trade@trade", "!bookTicker", "btc usdt@trade", "stra\u00dfe@trade", "b\u0131nance@trade",
     "btcusdt@trade\n", "btcusdt@thisDoesNotExist"],
)  # fmt: skip
def test_any_other_name_is_none(name: str) -> None:
    assert parse_stream(name) is None


@given(st.text())
def test_no_text_makes_a_name_that_is_not_plain(text: str) -> None:
    parsed = parse_stream(text)
    assert parsed is None or SYMBOL_PATTERN.fullmatch(parsed[0])


def test_futures_streams_have_two_routes_and_spot_none() -> None:
    assert route("aggTrade", "usdm") == "market"
    for stream in STREAMS[1:]:
        assert route(stream, "usdm") == "public"
        assert route(stream, "spot") is None


def test_the_nominal_depth_is_in_the_name() -> None:
    expected = {"depth5": 5, "depth10@100ms": 10, "depth20@500ms": 20, "bookTicker": 1}
    assert {stream: levels for stream in STREAMS if (levels := depth_levels(stream))} == expected
    assert [depth_levels(stream) for stream in ("aggTrade", "depth@100ms", "depth", "depth50")] == [None] * 4


FUTURES = {
    "aggTrade": (
        {"e": "aggTrade", "E": 12, "s": "BTCUSDT", "a": 5, "p": "0.10", "q": "3", "nq": "1", "f": 7, "l": 9, "T": 11,
         "m": True, "st": 1},
        AggTrade(5, "0.10", "3", 11, True, 7, 9, 12, "BTCUSDT"),
    ),
    "trade": (
        {"e": "trade", "E": 12, "T": 11, "s": "BTCUSDT", "t": 5, "p": "0", "q": "0", "X": "NA", "m": False},
        Trade(5, "0", "0", 11, False, "NA", 12, "BTCUSDT"),
    ),
    "bookTicker": (
        {"e": "bookTicker", "u": 9, "s": "BTCUSDT", "b": "1", "B": "2", "a": "3", "A": "4", "T": 11, "E": 12},
        BookTicker(9, "1", "2", "3", "4", 11, 12, "BTCUSDT"),
    ),
    "depth10@100ms": (
        {"e": "depthUpdate", "E": 12, "T": 11, "s": "BTCUSDT", "U": 1, "u": 9, "pu": 0, "b": [["1", "2"]], "a": []},
        Depth(9, [("1", "2")], [], 1, 0, 11, 12, "BTCUSDT"),
    ),
}  # fmt: skip
SPOT = {
    "aggTrade": ({"a": 5, "p": "1", "q": "2", "f": 7, "l": 7, "T": 11, "m": True, "M": True},
                 AggTrade(5, "1", "2", 11, True, 7, 7)),
    "bookTicker": ({"u": 9, "s": "BTCUSDT", "b": "1", "B": "2", "a": "3", "A": "4"},
                   BookTicker(9, "1", "2", "3", "4", symbol="BTCUSDT")),
    "depth5": ({"lastUpdateId": 9, "bids": [["1", "2"]], "asks": [["3", "4"]]}, SpotDepth(9, [("1", "2")], [("3", "4")])),
}  # fmt: skip


@pytest.mark.parametrize(("stream", "case"), [*FUTURES.items(), *SPOT.items()])
@pytest.mark.parametrize("seed", range(3))
def test_frames_are_read_whatever_the_order_of_keys_and_whatever_is_new(
    stream: str, case: tuple[dict[str, object], object], seed: int
) -> None:
    message, expected = case
    items = [*message.items(), ("new_key", {"b": [1], "p": None})]
    random.Random(seed).shuffle(items)
    assert parse_data(stream, json.dumps(dict(items)).encode()) == expected


@pytest.mark.parametrize(
    ("stream", "message"),
    [("aggTrade", {"a": "5", "p": "1", "q": "2", "T": 1, "m": True}), ("aggTrade", {"a": 5}),
     ("trade", {"t": 1, "p": 1.5, "q": "2", "T": 1, "m": True}), ("bookTicker", []), ("depth5", {"u": 1, "b": [["1"]]}),
     ("depth5", {"lastUpdateId": 1, "bids": {}, "asks": []})],
)  # fmt: skip
def test_a_missing_or_mistyped_field_is_an_error(stream: str, message: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        parse_data(stream, json.dumps(message).encode())


def test_a_stream_without_frames_of_ours_is_an_error() -> None:
    with pytest.raises(ValueError, match="kline_1m"):
        parse_data("kline_1m", b"{}")


def test_an_answer_to_a_request_has_no_stream() -> None:
    assert parse_envelope(b'{"result":null,"id":1}').stream is None
    frame = parse_envelope(b'{"stream":"btcusdt@trade","data":{"t": 1}}')
    assert (frame.stream, bytes(frame.data)) == ("btcusdt@trade", b'{"t": 1}')
    for torn in (b"", b"{", b"[1]", b'{"stream":5}'):
        with pytest.raises(msgspec.DecodeError):
            parse_envelope(torn)


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the real captures are not beside this checkout")
@pytest.mark.parametrize("name", ["btcusdt_20240718.gz", "usdm_4symbols_20210722_aggTrade.gz"])
def test_every_real_frame_is_read(name: str) -> None:
    read = 0
    with gzip.open(CAPTURES / name) as lines:
        for line in lines:
            frame = parse_envelope(line.partition(b" ")[2])
            parsed = parse_stream(frame.stream or "")
            if parsed is None:
                continue
            message = parse_data(parsed[1], frame.data)
            assert getattr(message, "symbol", parsed[0]) == parsed[0]
            assert STREAM_PATTERN.fullmatch(parsed[1]) or parsed[1].startswith("depth@")
            read += 1
    assert read > 1000
