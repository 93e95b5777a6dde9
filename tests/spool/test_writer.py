"""The writing end: verbatim lines, torn lines closed, a refusing disk that costs nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import InputError
from ofi_cvd.spool import appender, disk
from ofi_cvd.spool.disk import closed_hours_lock
from ofi_cvd.spool.layout import list_files, stream_path
from ofi_cvd.spool.ledger import read_ledger
from ofi_cvd.spool.reader import parts, read_lines
from ofi_cvd.spool.writer import SpoolWriter

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


def test_what_was_written_is_fsynced_once_with_the_folders_that_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        real(handle)

    monkeypatch.setattr(disk.os, "fsync", fsync)
    writer = SpoolWriter(tmp_path, clock_ns=stands_at(NOON_NS))
    writer.append("BTCUSDT", "trade", NOON_NS, b"{}")
    writer.flush()
    assert synced == []  # giving lines to the system never waits for the disk
    writer.sync()
    path = stream_path(tmp_path, MIDNIGHT_MS, "BTCUSDT", "trade")
    assert synced == [str(path), *map(str, sorted(list(path.parents)[:3]))]
    writer.sync()
    assert len(synced) == 4
    writer.append("BTCUSDT", "trade", NOON_NS, b"{}")
    writer.close()
    assert synced[4:] == [str(path)]


def test_an_hour_whose_lock_is_held_waits_and_the_others_are_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = NOON_NS + HOUR_NS
    writer = SpoolWriter(tmp_path, clock_ns=lambda: now)
    with closed_hours_lock(tmp_path):
        for _ in range(2):
            writer.append("BTCUSDT", "trade", NOON_NS, b'{"late":1}')
            writer.append("BTCUSDT", "trade", now, b'{"n":1}')
            writer.flush()
            now += 3 * SECOND
        assert lines_of(tmp_path) == [b'{"n":1}'] * 2
        assert writer.pending_bytes > 0
        assert "spool.closed_hours_locked" in caplog.text
        with pytest.raises(OSError, match="lock of closed hours"):
            writer.close()
    writer.close()
    assert lines_of(tmp_path) == [b'{"late":1}'] * 2 + [b'{"n":1}'] * 2


@pytest.mark.parametrize("harm", ["deleted", "truncated"])
def test_a_file_that_is_harmed_under_the_writer_is_noted_and_begun_anew(harm: str, tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, clock_ns=stands_at(NOON_NS))
    for number in range(4):
        writer.append("BTCUSDT", "trade", NOON_NS, b'{"n":%d}' % number)
    writer.flush()
    assert writer.find_damage(NOON_NS) == 0
    path = stream_path(tmp_path, MIDNIGHT_MS, "BTCUSDT", "trade")
    if harm == "deleted":
        shutil.rmtree(path.parents[1])
    else:
        os.truncate(path, 16)
    assert writer.find_damage(NOON_NS) == 1
    assert writer.find_damage(NOON_NS) == 0
    writer.append("BTCUSDT", "trade", NOON_NS, b'{"after":1}')
    writer.close()
    assert lines_of(tmp_path)[-1] == b'{"after":1}'
    (drop,) = read_ledger(tmp_path)
    assert (drop["event"], drop["reason"], drop["count"]) == ("drop", harm, 4 if harm == "deleted" else 2)


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_more_files_than_the_process_may_open_are_written_in_turn(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from ofi_cvd.spool.writer import SpoolWriter
resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
now_ns = 1_721_349_000 * 10**9
writer = SpoolWriter(Path(sys.argv[1]), clock_ns=lambda: now_ns)
for turn in range(2):
    for number in range(40):
        writer.append(f"S{number}USDT", "trade", now_ns, b'{"n":1}')
    writer.ledger.record("clock", recv_ns=now_ns)
    writer.sync()
writer.close()
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    assert lines_of(tmp_path) == [b'{"n":1}'] * 80


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
        with SpoolWriter(root, clock_ns=stands_at(NOON_NS)) as writer:
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
    device = Disk(amounts)
    now = NOON_NS + (HOUR_NS if late else 0)
    writer = SpoolWriter(root, clock_ns=lambda: now)
    lines = [b'{"x":"%b"}' % text.encode() for batch in batches for text in batch]
    queue = iter(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(appender.os, "write", device.write)
        for batch in batches:
            for _ in batch:
                writer.append("BTCUSDT", "trade", NOON_NS, next(queue))
            try:
                writer.flush()
            except OSError:
                assert writer.pending_bytes > 0
        while device.amounts and writer.pending_bytes:
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


def test_giving_up_says_what_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appender.os, "write", Disk([10, 0]).write)
    writer = SpoolWriter(tmp_path, clock_ns=stands_at(NOON_NS))
    for number in range(3):
        writer.append("BTCUSDT", "trade", NOON_NS, b'{"n":%d}' % number)
    with pytest.raises(OSError, match="No space"):
        writer.flush()
    (lost,) = writer.abandon()
    assert lost == ("BTCUSDT", "trade", 2, 14)
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
