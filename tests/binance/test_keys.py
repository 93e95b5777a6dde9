"""The glance at a frame: the id, and whether readers of the spool will take it."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from ofi_cvd.binance.keys import control_kind, key_reader, stream_of, stream_of_any

CAPTURE = Path(__file__).resolve().parents[3] / "shared/data/raw/usdm_4symbols_20210722_aggTrade.gz"


def frame(stream: str, data: dict) -> bytes:
    return json.dumps({"stream": f"btcusdt@{stream}", "data": data}, separators=(",", ":")).encode()


def test_every_stream_has_its_key() -> None:
    trade = {"e": "aggTrade", "E": 5, "s": "BTCUSDT", "a": 7, "p": "1.0", "q": "2", "T": 4, "m": False, "new": [1]}
    assert key_reader("aggTrade", "usdm")(frame("aggTrade", trade))[:4] == (7, 7, None, 5)
    fill = {"E": 5, "t": 8, "p": "0", "q": "0", "X": "NA", "T": 4, "m": False}
    assert key_reader("trade", "usdm")(frame("trade", fill))[:4] == (8, 8, None, 5)
    quote = {"u": 9, "b": "1", "B": "2", "a": "3", "A": "4"}
    assert key_reader("bookTicker", "spot")(frame("bookTicker", quote))[1:4] == (9, None, None)
    book = {"E": 5, "U": 1, "u": 9, "pu": 6, "b": [["1", "2"]], "a": []}
    assert key_reader("depth10@100ms", "usdm")(frame("depth10@100ms", book))[:4] == (9, 9, 6, 5)
    spot = {"lastUpdateId": 11, "bids": [], "asks": []}
    assert key_reader("depth10@100ms", "spot")(frame("depth10@100ms", spot))[:4] == (11, 11, None, None)


@pytest.mark.parametrize(
    "data",
    [
        {"a": 7, "p": "1", "q": "1", "T": 1},
        {"a": "7", "p": "1", "q": "1", "T": 1, "m": True},
        {"a": 7, "p": 1, "q": "1", "T": 1, "m": True},
        {"a": 7.5, "p": "1", "q": "1", "T": 1, "m": True},
        [],
    ],
)
def test_a_frame_that_readers_reject_has_no_key(data: object) -> None:
    with pytest.raises(msgspec.DecodeError):
        key_reader("aggTrade", "usdm")(frame("aggTrade", data))  # type: ignore[arg-type]


def test_the_stream_is_found_at_a_glance_or_by_reading() -> None:
    assert stream_of(b'{"stream":"btcusdt@aggTrade","data":{}}') == b"btcusdt@aggTrade"
    assert stream_of(b'{"data":{},"stream":"btcusdt@aggTrade"}') == b""
    assert stream_of_any(b'{"data":{},"stream":"btcusdt@aggTrade"}') == b"btcusdt@aggTrade"
    assert stream_of_any(b"{torn") == b""
    assert stream_of_any(b"\xff") == b""


def test_what_is_not_data_is_told_apart() -> None:
    assert control_kind(b'{"result":null,"id":1}') == "ack"
    assert control_kind(b'{"error":{"code":3,"msg":"x"}}') == "error"
    assert control_kind(b'{"code":0,"msg":"Unknown property"}') == "error"
    assert control_kind(b'{"e":"serverShutdown","E":1}') == "shutdown"
    assert control_kind(b'{"stream":"!serverShutdown","data":{"e":"serverShutdown"}}') == "shutdown"
    assert control_kind(b'{"stream":"btcusdt@kline_1m","data":{}}') == "stray"
    assert control_kind(b'{"stream":7}') == "garbage"
    assert control_kind(b"[]") == "garbage"


@pytest.mark.skipif(not CAPTURE.exists(), reason="the captures of real markets are not beside the project")
def test_real_frames_have_the_keys_that_a_full_parse_gives() -> None:
    counted = 0
    with gzip.open(CAPTURE) as lines:
        for line in islice(lines, 2000):
            raw = line.split(b" ", 1)[1].strip()
            message = json.loads(raw)
            stream = message.get("stream", "").partition("@")[2]
            if stream in ("aggTrade", "bookTicker"):
                key = key_reader(stream, "usdm")(raw)
                assert key.number == message["data"]["a" if stream == "aggTrade" else "u"]
                assert stream_of(raw).decode() == message["stream"]
                counted += 1
    assert counted > 100
