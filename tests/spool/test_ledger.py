"""The ledger: whole lines, known events, tolerant reading, nothing forgotten when the disk refuses."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.spool import ledger as ledger_module
from ofi_cvd.spool.layout import ledger_path
from ofi_cvd.spool.ledger import EVENTS, Ledger, read_ledger

MIDNIGHT_MS = 1_721_347_200_000
NOW_NS = MIDNIGHT_MS * 10**6 + 5


def test_a_record_has_the_common_keys_and_its_facts(tmp_path: Path) -> None:
    Ledger(tmp_path).record(
        "gap", recv_ns=NOW_NS, symbol="BTCUSDT", stream="aggTrade", conn="m1", expected=5, received=8, missing=3
    )
    line = ledger_path(tmp_path, MIDNIGHT_MS).read_bytes()
    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "recv_ns": NOW_NS, "event": "gap", "symbol": "BTCUSDT", "stream": "aggTrade", "conn": "m1",
        "expected": 5, "received": 8, "missing": 3,
    }  # fmt: skip


def test_what_a_record_is_not_about_is_null(tmp_path: Path) -> None:
    Ledger(tmp_path).record("shutdown", recv_ns=NOW_NS)
    expected = {"recv_ns": NOW_NS, "event": "shutdown", "symbol": None, "stream": None, "conn": None}
    assert read_ledger(tmp_path) == [expected]


def test_the_events_are_those_of_the_specification(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for event in EVENTS:
        ledger.record(event, recv_ns=NOW_NS)
    assert {row["event"] for row in read_ledger(tmp_path)} == EVENTS
    with pytest.raises(ValueError, match="found 'hiccup'"):
        ledger.record("hiccup", recv_ns=NOW_NS)


def test_reading_takes_the_hours_of_the_window_and_skips_torn_lines(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for hour in (-1, 0, 1):
        ledger.record("clock", recv_ns=NOW_NS + hour * HOUR_MS * 10**6, offset_ms=hour)
    path = ledger_path(tmp_path, MIDNIGHT_MS)
    path.write_bytes(b'{"recv_ns":1,"ev\n' + path.read_bytes() + b'\n\xff\xfe\n[1]\n{"recv_ns":')
    assert [row["offset_ms"] for row in read_ledger(tmp_path)] == [-1, 0, 1]
    assert [row["offset_ms"] for row in read_ledger(tmp_path, MIDNIGHT_MS)] == [0, 1]
    assert [row["offset_ms"] for row in read_ledger(tmp_path, MIDNIGHT_MS, MIDNIGHT_MS + 1)] == [0]
    assert read_ledger(tmp_path / "absent") == []


def test_a_record_can_be_about_the_files_of_another_hour(tmp_path: Path) -> None:
    Ledger(tmp_path).record("seal", recv_ns=NOW_NS, hour_ms=MIDNIGHT_MS - HOUR_MS, file="x")
    assert read_ledger(tmp_path, MIDNIGHT_MS) == []
    assert read_ledger(tmp_path, MIDNIGHT_MS - HOUR_MS, MIDNIGHT_MS)[0]["recv_ns"] == NOW_NS


@pytest.mark.parametrize("kept", range(1, 60, 7))
def test_a_half_written_last_line_does_not_swallow_the_next_record(tmp_path: Path, kept: int) -> None:
    Ledger(tmp_path).record("connect", recv_ns=NOW_NS, conn="m1")
    path = ledger_path(tmp_path, MIDNIGHT_MS)
    path.write_bytes(path.read_bytes() + path.read_bytes()[:kept])
    Ledger(tmp_path).record("disconnect", recv_ns=NOW_NS, conn="m1")
    assert [row["event"] for row in read_ledger(tmp_path)] == ["connect", "disconnect"]


def test_two_ledgers_of_one_hour_do_not_disturb_each_other(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path), Ledger(tmp_path)
    for number in range(20):
        (one if number % 2 else other).record("clock", recv_ns=NOW_NS, offset_ms=number)
    assert [row["offset_ms"] for row in read_ledger(tmp_path)] == list(range(20))


@pytest.mark.parametrize("taken", [None, 0, 1, 20])
def test_a_record_the_disk_refuses_is_kept_and_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int | None
) -> None:
    """The disk is full, or takes only the first bytes of the line."""
    ledger = Ledger(tmp_path)
    ledger.record("connect", recv_ns=NOW_NS)
    real = os.write

    def full(handle: int, data: bytes) -> int:
        if taken is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data[:taken])

    with monkeypatch.context() as patch:
        patch.setattr(ledger_module.os, "write", full)
        ledger.record("gap", recv_ns=NOW_NS, missing=1)
        assert ledger.pending == 1
        with pytest.raises(OSError, match=r"No space|part of a record"):
            ledger.flush()
        ledger.record("drop", recv_ns=NOW_NS, count=2)
    assert [row["event"] for row in read_ledger(tmp_path)] == ["connect"]
    ledger.sync()
    assert ledger.pending == 0
    assert [row["event"] for row in read_ledger(tmp_path)] == ["connect", "gap", "drop"]
