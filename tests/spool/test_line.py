"""The line of the spool: two keys in front, the rest verbatim."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofi_cvd.spool.line import END, HEAD, RECEIPT, between, head, parse_line, splice, tail, wrap


def test_splice_puts_two_keys_in_front_and_leaves_the_rest() -> None:
    raw = b'{"stream":"btcusdt@aggTrade","data":{"p":"0.10","new":[1, 2.50]}}'
    line = splice(1_760_652_125_912_345_678, "m3", raw)
    assert line == b'{"recv_ns":1760652125912345678,"conn":"m3",' + raw[1:]


def test_a_line_break_between_tokens_cannot_break_the_line() -> None:
    line = splice(1, "m1", b' {\r\n "stream": "x",\n "data": {"a": "\\n"}}\n')
    assert b"\n" not in line
    assert json.loads(line) == {"recv_ns": 1, "conn": "m1", "stream": "x", "data": {"a": "\n"}}


@pytest.mark.parametrize("raw", [b"", b"{}", b"{ }", b"[]", b"null", b'"x"', b'{"torn":', b"\x00\xff"])
def test_splice_refuses_what_is_no_object_with_keys(raw: bytes) -> None:
    with pytest.raises(ValueError, match="JSON object"):
        splice(1, "m1", raw)


@pytest.mark.parametrize("conn", ["", 'a"b', "a b", "a\n", "x" * 65])
def test_splice_refuses_a_connection_that_needs_quoting(conn: str) -> None:
    with pytest.raises(ValueError, match="plain word"):
        splice(1, conn, b'{"a":1}')


def test_wrap_gives_a_rest_row_its_stream() -> None:
    assert wrap(5, "rest", "btcusdt@aggTrade", b'{"a":1,"p":"2"}\n') == (
        b'{"recv_ns":5,"conn":"rest","stream":"btcusdt@aggTrade","data":{"a":1,"p":"2"}}'
    )


def test_a_spool_line_is_read_back() -> None:
    line = parse_line(b'{"recv_ns":7,"conn":"m1","stream":"btcusdt@trade","data":{"t":1}}')
    assert (line.recv_ns, line.conn, line.stream, bytes(line.data)) == (7, "m1", "btcusdt@trade", b'{"t":1}')
    with pytest.raises(msgspec.DecodeError):
        parse_line(b'{"recv_ns":7,"conn":"m1","stre')


@given(st.integers(0, 2**63 - 1), st.binary().map(lambda text: b'{"a":"' + text.hex().encode() + b'"}'))
def test_the_pieces_make_the_lines_that_the_whole_functions_make(recv_ns: int, data: bytes) -> None:
    frame = b'{"stream":"btcusdt@trade","data":' + data + b"}"
    line = splice(recv_ns, "m1", frame)
    assert head(recv_ns, "m1") + tail(b" \n" + frame) == line
    assert HEAD + b"%d" % recv_ns + between("m1", "btcusdt@trade") + data + END == line + b"\n"
    assert wrap(recv_ns, "m1", "btcusdt@trade", data) == line
    found = RECEIPT.fullmatch(line + b"\n")
    assert found is not None
    assert int(found[1]) == recv_ns
