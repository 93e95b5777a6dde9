"""The writer thread: order, room, durability, and records that do not run ahead of what they speak of."""

from __future__ import annotations

import errno
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ofi_cvd.collect.actions import LedgerRecord, Line, StoreRepair
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.collect.writer_thread import WriterThread
from ofi_cvd.errors import SpoolError
from ofi_cvd.spool import appender, disk
from ofi_cvd.spool.layout import list_files
from ofi_cvd.spool.ledger import read_ledger
from ofi_cvd.spool.line import splice, wrap
from ofi_cvd.spool.reader import read_lines

NOW_NS = 1_760_652_125_912_345_678
HOUR_MS = NOW_NS // 10**6 // 3_600_000 * 3_600_000


def make(root: Path, **changes: int) -> WriterThread:
    limits = {"queue_frames": 1000, "retain_bytes": 1_000_000} | changes
    return WriterThread(root, stats=RecorderStats(), **limits)


def entries(count: int) -> list[Line]:
    key = ("BTCUSDT", "aggTrade")
    raw = b'{"stream":"btcusdt@aggTrade","data":{"a":%d}}'
    return [(key, NOW_NS + number, splice(NOW_NS + number, "m1", raw % number)) for number in range(count)]


def test_everything_handed_over_is_on_the_disk_in_order_after_close(tmp_path: Path) -> None:
    writer = make(tmp_path)
    writer.start()
    lines = entries(500)
    for start in range(0, 500, 7):
        writer.put(lines[start : start + 7])
    writer.put_repair(
        StoreRepair("BTCUSDT", "aggTrade", NOW_NS, HOUR_MS - 3_600_000, wrap(NOW_NS, "rest", "x@y", b"{}"))
    )
    writer.record(LedgerRecord("clock", facts={"offset_ms": 1}), NOW_NS)
    assert writer.close(10.0) == 0
    files = {(file.hour_ms, file.repair): list(read_lines(file)) for file in list_files(tmp_path)}
    assert files[HOUR_MS, False] == [line for _, _, line in lines]
    assert len(files[HOUR_MS - 3_600_000, True]) == 1
    assert [row["event"] for row in read_ledger(tmp_path)] == ["clock"]


def test_room_is_what_the_queue_has_left(tmp_path: Path) -> None:
    writer = make(tmp_path, queue_frames=10)
    writer.put(entries(4))
    assert writer.room() == 6
    writer.put(entries(8))
    assert writer.room() == 0
    writer.start()
    assert writer.close(10.0) == 0
    assert writer.room() == 10


def test_a_repair_is_recorded_only_once_its_lines_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between the two must leave a gap that is known, never one that passes for repaired."""
    order: list[str] = []
    write = appender.os.write

    def watch(handle: int, data: bytes) -> int:
        order.append("record" if b'"event":"repaired"' in bytes(data) else "line")
        return write(handle, data)

    monkeypatch.setattr(appender.os, "write", watch)
    writer = make(tmp_path)
    writer.put_repair(StoreRepair("BTCUSDT", "aggTrade", NOW_NS, HOUR_MS, wrap(NOW_NS, "rest", "x@y", b"{}")))
    writer.record(LedgerRecord("repaired", "BTCUSDT", "aggTrade", facts={"expected": 1, "received": 2}), NOW_NS)
    writer.start()
    assert writer.close(10.0) == 0
    assert order == ["line", "record"]


def test_a_disk_that_never_comes_back_is_said_aloud_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_handle: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(appender.os, "write", refuse)
    writer = make(tmp_path)
    writer.start()
    writer.put(entries(5))
    assert writer.close(10.0) == 5
    assert "spool.lost_at_exit" in caplog.text


def test_the_thread_is_idle_between_batches(tmp_path: Path) -> None:
    """Closing wakes it at once: nothing waits for a timer."""
    writer = make(tmp_path)
    writer.start()
    closing = threading.Thread(target=writer.close, args=(10.0,))
    closing.start()
    closing.join(5.0)
    assert not closing.is_alive()


def test_a_line_that_no_file_can_hold_costs_itself_alone(tmp_path: Path) -> None:
    writer = make(tmp_path)
    writer.start()
    line = wrap(NOW_NS, "rest", "x@y", b"{}")
    writer.put_repair(StoreRepair("BTCUSDT", "aggTrade", NOW_NS, 1_760_652_125_912_345 * 10**6, line))
    writer.put_repair(StoreRepair("BTCUSDT", "aggTrade", NOW_NS, -HOUR_MS, line))
    writer.put(entries(3))
    assert writer.close(10.0) == 0
    writer.check()
    assert [row["event"] for row in read_ledger(tmp_path)] == ["drop", "drop"]
    assert sum(1 for file in list_files(tmp_path) for _ in read_lines(file)) == 3


def test_a_thread_that_dies_is_heard_of_whatever_killed_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = make(tmp_path)
    monkeypatch.setattr(writer._writer, "flush", lambda _now_ns: {}["unheard of"])
    writer.put(entries(2))
    writer.start()
    writer._thread.join(10.0)
    with pytest.raises(SpoolError, match="unheard of"):
        writer.check()
    assert writer.close(1.0) == 2


def test_what_is_lost_at_the_end_is_a_drop_in_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files may fail one by one: the ledger is tried even so."""
    write = appender.Appender.write

    def refuse(self: appender.Appender, *rest: Any) -> None:
        if self.stream == "aggTrade":
            raise OSError(errno.EIO, "Input/output error")
        write(self, *rest)

    monkeypatch.setattr(appender.Appender, "write", refuse)
    writer = make(tmp_path)
    writer.start()
    writer.put(entries(5))
    assert writer.close(10.0) == 5
    (drop,) = read_ledger(tmp_path)
    assert (drop["event"], drop["stream"], drop["count"], drop["reason"]) == ("drop", "aggTrade", 5, "exit")


def test_a_disk_that_is_slow_to_make_lines_durable_does_not_keep_them_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash loses what the system has not got: an fsync of seconds must not add to that."""
    begun, may_end = threading.Event(), threading.Event()

    def slow(_path: Path) -> None:
        begun.set()
        may_end.wait(30.0)

    monkeypatch.setattr(disk, "fsync_path", slow)
    writer = make(tmp_path)
    writer.start()
    writer.put(entries(1))
    assert begun.wait(10.0)
    writer.put(entries(5))
    deadline = time.monotonic() + 10.0
    while sum(1 for file in list_files(tmp_path) for _ in read_lines(file)) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    stored = sum(1 for file in list_files(tmp_path) for _ in read_lines(file))
    may_end.set()
    assert writer.close(10.0) == 0
    assert stored == 6
