"""The writing end: verbatim lines, torn lines closed, a refusing disk that costs nothing."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import InputError
from ofi_cvd.spool import appender
from ofi_cvd.spool.layout import list_files, parts, read_ledger, read_lines, stream_path
from ofi_cvd.spool.writer import SpoolWriter, splice, wrap

MIDNIGHT_MS = 1_721_347_200_000
HOUR_NS = HOUR_MS * 10**6
NOON_NS = MIDNIGHT_MS * 10**6 + 1800 * 10**9  # in the middle of an hour
SECOND = 10**9


def stands_at(now_ns: int) -> Callable[[], int]:
    return lambda: now_ns


def lines_of(root: Path, symbols: list[str] | None = None) -> list[bytes]:
    return [line for file in list_files(root, symbols=symbols) for line in read_lines(file)]


class Disk:
    """Stands in for `os.write`: takes as many bytes as it is told, then refuses for a while."""

    def __init__(self, amounts: list[int]) -> None:
        self.amounts = amounts
        self.real = os.write

    def write(self, handle: int, data: bytes | memoryview) -> int:
        amount = self.amounts.pop(0) if self.amounts else len(data)
        if not amount:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.real(handle, data[:amount])


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


def test_lines_come_back_as_they_went_in(tmp_path: Path) -> None:
    given_lines = {
        ("BTCUSDT", "aggTrade", NOON_NS): [b'{"a":1}', b'{"a":2}'],
        ("BTCUSDT", "depth10@100ms", NOON_NS): [b'{"b":1}'],
        ("ETHUSDT", "aggTrade", NOON_NS - HOUR_NS): [b'{"c":"\xc3\xa4"}'],
    }
    with SpoolWriter(tmp_path, clock_ns=stands_at(NOON_NS)) as writer:
        for (symbol, stream, recv_ns), lines in given_lines.items():
            for line in lines:
                writer.append(symbol, stream, recv_ns, line)
    for (symbol, stream, recv_ns), lines in given_lines.items():
        hour_ms = recv_ns // HOUR_NS * HOUR_MS
        path = stream_path(tmp_path, hour_ms, symbol, stream)
        assert path.read_bytes() == b"".join(line + b"\n" for line in lines)
    assert len(list_files(tmp_path)) == 3


def test_a_repair_goes_to_the_hour_it_belongs_to(tmp_path: Path) -> None:
    with SpoolWriter(tmp_path, clock_ns=stands_at(NOON_NS)) as writer:
        writer.append("BTCUSDT", "aggTrade", NOON_NS, b"{}", repair=True, hour_ms=MIDNIGHT_MS - HOUR_MS)
    assert stream_path(tmp_path, MIDNIGHT_MS - HOUR_MS, "BTCUSDT", "aggTrade", repair=True).read_bytes() == b"{}\n"


def test_names_from_the_wire_never_become_paths(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "spool")
    with pytest.raises(InputError):
        writer.append("../../ETC", "aggTrade", NOON_NS, b"{}")
    with pytest.raises(InputError):
        writer.append("BTCUSDT", "../aggTrade", NOON_NS, b"{}")
    writer.close()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_tick_flushes_and_syncs_when_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(appender.os, "fsync", synced.append)
    now = NOON_NS
    writer = SpoolWriter(tmp_path, flush_secs=0.2, fsync_secs=1.0, flush_bytes=100, clock_ns=lambda: now)
    writer.tick()  # opens the intervals
    writer.append("BTCUSDT", "trade", NOON_NS, b"{}")
    now += SECOND // 10
    writer.tick()
    assert lines_of(tmp_path) == []
    now += SECOND // 10
    writer.tick()
    assert lines_of(tmp_path) == [b"{}"]
    assert writer.pending_bytes == 0
    before = len(synced)
    now += SECOND
    writer.tick()
    assert len(synced) > before
    writer.append("BTCUSDT", "trade", NOON_NS, b'{"long":"%b"}' % (b"x" * 200))
    writer.tick()  # nothing is due but the amount
    assert len(lines_of(tmp_path)) == 2
    writer.close()


def test_files_of_hours_that_are_over_are_let_go(tmp_path: Path) -> None:
    now = NOON_NS
    writer = SpoolWriter(tmp_path, clock_ns=lambda: now)
    writer.append("BTCUSDT", "trade", NOON_NS, b'{"n":1}')
    writer.flush()
    now = NOON_NS + HOUR_NS
    writer.append("BTCUSDT", "trade", now, b'{"n":2}')
    writer.append("BTCUSDT", "trade", NOON_NS, b'{"late":1}')
    writer.flush()
    assert len(writer._files) == 1
    assert lines_of(tmp_path) == [b'{"n":1}', b'{"late":1}', b'{"n":2}']
    writer.close()


def test_a_torn_last_line_is_closed_wherever_it_broke(tmp_path: Path) -> None:
    whole = b'{"recv_ns":1,"conn":"m1","stream":"btcusdt@trade","data":{"p":"1"}}\n'
    for kept in range(2 * len(whole) + 1):
        root = tmp_path / str(kept)
        path = stream_path(root, MIDNIGHT_MS, "BTCUSDT", "trade")
        path.parent.mkdir(parents=True)
        path.write_bytes((whole * 2)[:kept])
        with SpoolWriter(root, clock_ns=stands_at(NOON_NS), fsync_secs=None) as writer:
            writer.append("BTCUSDT", "trade", NOON_NS, b'{"next":1}')
        torn = kept % len(whole) != 0
        content = path.read_bytes()
        assert content == (whole * 2)[:kept] + (b"\n" if torn else b"") + b'{"next":1}\n'
        notes = read_ledger(root)
        assert [(row["event"], row["file"], row["offset"]) for row in notes] == [("torn", path.name, kept)] * torn


@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(st.lists(st.binary(min_size=0, max_size=12).map(bytes.hex), max_size=5), max_size=6),
    amounts=st.lists(st.integers(0, 15), max_size=40),
    late=st.booleans(),
)
def test_short_and_refused_writes_lose_and_tear_nothing(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[str]], amounts: list[int], late: bool
) -> None:
    """Whatever the disk takes and refuses, in the end the file holds exactly the lines, in order."""
    root = tmp_path_factory.mktemp("spool")
    disk = Disk(amounts)
    now = NOON_NS + (HOUR_NS if late else 0)
    writer = SpoolWriter(root, fsync_secs=None, clock_ns=lambda: now)
    lines = [b'{"x":"%b"}' % text.encode() for batch in batches for text in batch]
    queue = iter(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(appender.os, "write", disk.write)
        for batch in batches:
            for _ in batch:
                writer.append("BTCUSDT", "trade", NOON_NS, next(queue))
            try:
                writer.flush()
            except OSError:
                assert writer.pending_bytes > 0
        while disk.amounts and writer.pending_bytes:
            with contextlib.suppress(OSError):
                writer.flush()
    writer.close()
    assert writer.pending_bytes == 0
    assert lines_of(root) == lines
    assert [row["event"] for row in read_ledger(root)] == []


def test_a_half_line_that_someone_else_closed_is_sent_again_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seal closes torn lines; the writer notices that its half line is no longer the file's end."""
    late_ns = NOON_NS + HOUR_NS
    writer = SpoolWriter(tmp_path, clock_ns=stands_at(late_ns))
    writer.append("BTCUSDT", "trade", NOON_NS, b'{"n":1}')
    writer.append("BTCUSDT", "trade", NOON_NS, b'{"n":2}')
    with monkeypatch.context() as patch:
        patch.setattr(appender.os, "write", Disk([12, 0]).write)
        with pytest.raises(OSError, match="No space"):
            writer.flush()
    path = stream_path(tmp_path, MIDNIGHT_MS, "BTCUSDT", "trade")
    assert path.read_bytes() == b'{"n":1}\n{"n"'
    path.write_bytes(path.read_bytes() + b"\n")
    writer.close()
    assert lines_of(tmp_path) == [b'{"n":1}', b'{"n"', b'{"n":2}']


def test_one_refusing_file_does_not_hold_up_the_others(tmp_path: Path) -> None:
    blocked = stream_path(tmp_path, MIDNIGHT_MS, "BTCUSDT", "trade")
    blocked.mkdir(parents=True)  # a folder where the file should be
    writer = SpoolWriter(tmp_path, clock_ns=stands_at(NOON_NS))
    writer.append("BTCUSDT", "trade", NOON_NS, b'{"n":1}')
    writer.append("ETHUSDT", "trade", NOON_NS, b'{"n":2}')
    with pytest.raises(OSError, match=r"trade\.ndjson"):
        writer.flush()
    assert lines_of(tmp_path, symbols=["ETHUSDT"]) == [b'{"n":2}']
    assert writer.pending_bytes == 8
    blocked.rmdir()
    writer.close()
    assert lines_of(tmp_path, symbols=["BTCUSDT"]) == [b'{"n":1}']


def test_a_refusing_disk_is_asked_again_at_the_next_interval_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = NOON_NS
    asked: list[int] = []

    def refuse(handle: int, data: bytes) -> int:
        asked.append(now)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(appender.os, "write", refuse)
    writer = SpoolWriter(tmp_path, flush_secs=0.2, fsync_secs=None, flush_bytes=1, clock_ns=lambda: now)
    writer.append("BTCUSDT", "trade", NOON_NS, b"{}")
    for _ in range(5):
        with contextlib.suppress(OSError):
            writer.tick()
        now += SECOND // 20
    assert asked == [NOON_NS, NOON_NS + SECOND // 5]
    assert writer.abandon() == 3
    writer.close()


def test_a_failing_sync_surfaces_and_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = SpoolWriter(tmp_path, clock_ns=stands_at(NOON_NS))
    writer.append("BTCUSDT", "trade", NOON_NS, b"{}")
    writer.flush()
    with monkeypatch.context() as patch:
        patch.setattr(appender.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
        with pytest.raises(OSError, match="Input/output"):
            writer.sync()
    writer.close()
    assert lines_of(tmp_path) == [b"{}"]


def test_leaving_a_failed_block_keeps_its_error(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, clock_ns=stands_at(NOON_NS))
    writer.append("BTCUSDT", "trade", NOON_NS, b"{}")
    with pytest.raises(KeyError), writer:
        raise KeyError
    assert lines_of(tmp_path) == [b"{}"]
    assert [parts(file) for file in list_files(tmp_path)] == [[stream_path(tmp_path, MIDNIGHT_MS, "BTCUSDT", "trade")]]
