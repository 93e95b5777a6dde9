"""Sealing: verified, never early, and whatever moment it dies at every line is there exactly once."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import LockedError, SpoolError
from ofi_cvd.spool import seal as seal_module
from ofi_cvd.spool.layout import SpoolFile, find_file, list_files, stream_path
from ofi_cvd.spool.ledger import read_ledger
from ofi_cvd.spool.reader import parts, plain_size, read_bytes_from, read_lines
from ofi_cvd.spool.seal import CLOSED_MS, GRACE_MS, seal_closed_hours, seal_file
from ofi_cvd.spool.writer import SpoolWriter

HOUR = 1_721_347_200_000
NOW_MS = HOUR + HOUR_MS + GRACE_MS
LINE = b'{"recv_ns":%d,"conn":"m1","stream":"btcusdt@trade","data":{}}'


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here pulls the plug of the machine: what a process leaves behind does not depend on fsync."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


class Killed(BaseException):
    """The process dies here."""


def write(root: Path, lines: list[bytes]) -> None:
    with SpoolWriter(root, clock_ns=lambda: NOW_MS * 10**6) as writer:
        for line in lines:
            writer.append("BTCUSDT", "trade", HOUR * 10**6, line)


def the_file(root: Path) -> SpoolFile:
    file = find_file(root, HOUR, "BTCUSDT", "trade")
    assert file is not None
    return file


def lines_in(paths: list[Path]) -> list[bytes]:
    """What another program reads from these files, one after the other."""
    lines: list[bytes] = []
    for path in paths:
        with pa.input_stream(str(path), compression="zstd" if path.suffix == ".zst" else None) as stream:
            lines += stream.read().splitlines()
    return lines


def killing(after: int) -> Callable[[FrameType, str, Any], Any]:
    """Trace function that dies at the `after`-th line that sealing executes."""
    left = after

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename != seal_module.__file__:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                raise Killed
        return trace

    return trace


def seal_until(root: Path, after: int) -> bool:
    """Seal, dying at a line; the dead delete and rename nothing any more. Return whether it died."""
    alive = sys.gettrace()
    unlink, replace = Path.unlink, Path.replace
    dead = False

    def of_the_living(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            return None if dead else real(*args, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", of_the_living(unlink))
        patch.setattr(Path, "replace", of_the_living(replace))
        tracer = killing(after)

        def tracing(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal dead
            try:
                inner = tracer(frame, event, arg)
            except Killed:
                dead = True
                raise
            return tracing if inner else None

        sys.settrace(tracing)
        try:
            seal_closed_hours(root, NOW_MS)
        except Killed:
            return True
        finally:
            sys.settrace(alive)
    return False


def plain_only(root: Path) -> list[bytes]:
    lines = [LINE % n for n in range(5)]
    write(root, lines)
    return lines


def torn(root: Path) -> list[bytes]:
    lines = plain_only(root)
    with stream_path(root, HOUR, "BTCUSDT", "trade").open("ab") as file:
        file.write(b'{"recv_ns":9')
    return [*lines, b'{"recv_ns":9']


def begun_anew(root: Path) -> list[bytes]:
    lines = plain_only(root)
    seal_closed_hours(root, NOW_MS)
    write(root, [LINE % 7, LINE % 8])
    return [*lines, LINE % 7, LINE % 8]


def not_yet_deleted(root: Path) -> list[bytes]:
    lines = plain_only(root)
    path = stream_path(root, HOUR, "BTCUSDT", "trade")
    content = path.read_bytes()
    seal_closed_hours(root, NOW_MS)
    path.write_bytes(content)
    return lines


def not_yet_deleted_and_grown(root: Path) -> list[bytes]:
    lines = not_yet_deleted(root)
    write(root, [LINE % 8])
    return [*lines, LINE % 8]


SITUATIONS = [plain_only, torn, begun_anew, not_yet_deleted, not_yet_deleted_and_grown]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the dead leave files open
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda case: case.__name__)
def test_a_seal_that_dies_at_any_line_loses_and_repeats_nothing(
    tmp_path: Path, situation: Callable[[Path], list[bytes]]
) -> None:
    died = 0
    for after in range(1000):
        root = tmp_path / str(after)
        lines = situation(root)
        offset = len(lines[0]) + 1
        if not seal_until(root, after):
            break
        died += 1
        file = the_file(root)
        assert len(list_files(root)) == 1
        assert lines_in(parts(file)) == lines
        assert list(read_lines(file)) == lines
        assert list(read_lines(file, offset)) == lines[1:]
        assert plain_size(file) == sum(map(len, read_bytes_from(file, 0)))
        write(root, [LINE % 99])
        assert list(read_lines(the_file(root))) == [*lines, LINE % 99]
        assert [report.outcome for report in seal_closed_hours(root, NOW_MS)] == ["sealed"]
        file = the_file(root)
        assert file.plain is None
        assert lines_in(parts(file)) == [*lines, LINE % 99]
        assert [path.name for path in file.folder.iterdir() if "part" in path.name] == []
    assert died > 20


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(st.tuples(st.just("write"), st.integers(1, 3)), st.tuples(st.just("seal"), st.integers(0, 120))),
        max_size=9,
    )
)
def test_any_life_of_a_file_keeps_its_bytes_and_offsets(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Writes, seals and dying seals in any order: content only grows at the end, so offsets stay good."""
    root = tmp_path_factory.mktemp("spool")
    content = b""
    number = 0
    for step, amount in steps:
        if step == "write":
            lines = [LINE % (number + n) for n in range(amount)]
            number += amount
            write(root, lines)
            content += b"".join(line + b"\n" for line in lines)
        else:
            seal_until(root, amount)
        if content:
            file = the_file(root)
            assert b"".join(read_bytes_from(file, 0)) == content
            assert plain_size(file) == len(content)
            middle = len(content) // 2
            assert b"".join(read_bytes_from(file, middle)) == content[middle:]
            assert b"".join(read_bytes_from(file, len(content) + 5)) == b""


def test_the_ledger_says_what_was_sealed(tmp_path: Path) -> None:
    lines = plain_only(tmp_path)
    content = stream_path(tmp_path, HOUR, "BTCUSDT", "trade").read_bytes()
    (report,) = seal_closed_hours(tmp_path, NOW_MS)
    assert (report.outcome, report.lines, report.plain_bytes) == ("sealed", len(lines), len(content))
    (row,) = read_ledger(tmp_path, HOUR, HOUR + HOUR_MS)
    sealed = the_file(tmp_path).sealed
    assert sealed is not None
    assert row == {
        "recv_ns": NOW_MS * 10**6, "event": "seal", "symbol": "BTCUSDT", "stream": "trade", "conn": None,
        "file": sealed.name, "lines": len(lines), "plain_bytes": len(content),
        "sealed_bytes": sealed.stat().st_size, "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip


def test_sealing_again_does_nothing(tmp_path: Path) -> None:
    plain_only(tmp_path)
    seal_closed_hours(tmp_path, NOW_MS)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert seal_closed_hours(tmp_path, NOW_MS) == []
    assert seal_file(the_file(tmp_path), tmp_path, now_ms=NOW_MS).outcome == "already"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_hour_that_is_not_over_is_never_sealed(tmp_path: Path) -> None:
    plain_only(tmp_path)
    for now_ms in (HOUR, HOUR + HOUR_MS - 1, HOUR + HOUR_MS + CLOSED_MS - 1):
        assert seal_closed_hours(tmp_path, now_ms, grace_ms=0) == []
        assert seal_file(the_file(tmp_path), tmp_path, now_ms=now_ms).outcome == "open"
    assert seal_closed_hours(tmp_path, NOW_MS - 1) == []
    assert len(seal_closed_hours(tmp_path, HOUR + HOUR_MS + CLOSED_MS, grace_ms=0)) == 1


def test_a_file_that_grows_meanwhile_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = plain_only(tmp_path)
    real = seal_module.fsync_path

    def and_a_late_line(path: Path) -> None:
        real(path)
        write(tmp_path, [LINE % 77])

    monkeypatch.setattr(seal_module, "fsync_path", and_a_late_line)
    assert [report.outcome for report in seal_closed_hours(tmp_path, NOW_MS)] == ["grew"]
    assert list(read_lines(the_file(tmp_path))) == [*lines, LINE % 77]
    assert the_file(tmp_path).sealed is None


def test_bytes_that_do_not_read_back_keep_the_plain_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = plain_only(tmp_path)
    monkeypatch.setattr(seal_module, "sealed_chunks", lambda _: iter([LINE + b"\n"]))
    with pytest.raises(SpoolError, match="does not read back"):
        seal_closed_hours(tmp_path, NOW_MS)
    assert the_file(tmp_path).sealed is None
    assert list(read_lines(the_file(tmp_path))) == lines


def test_a_disk_that_refuses_keeps_the_plain_file(tmp_path: Path) -> None:
    lines = plain_only(tmp_path)
    blocked = stream_path(tmp_path, HOUR, "BTCUSDT", "trade").with_suffix(".ndjson.zst.part")
    blocked.mkdir()
    with pytest.raises(SpoolError, match=r"sealing BTCUSDT\.trade\.ndjson"):
        seal_closed_hours(tmp_path, NOW_MS)
    assert list(read_lines(the_file(tmp_path))) == lines


def test_an_empty_file_stays(tmp_path: Path) -> None:
    path = stream_path(tmp_path, HOUR, "BTCUSDT", "trade")
    path.parent.mkdir(parents=True)
    path.touch()
    assert [report.outcome for report in seal_closed_hours(tmp_path, NOW_MS)] == ["empty"]
    assert path.exists()


def test_two_seals_do_not_work_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain_only(tmp_path)
    monkeypatch.setattr(seal_module, "SEAL_WAIT_SECS", 0)
    with FileLock(tmp_path / ".seal.lock"), pytest.raises(LockedError, match="another process is sealing"):
        seal_closed_hours(tmp_path, NOW_MS)


def test_a_reader_that_began_before_the_seal_reads_on(tmp_path: Path) -> None:
    lines = plain_only(tmp_path)
    listed = the_file(tmp_path)
    seal_closed_hours(tmp_path, NOW_MS)
    assert list(read_lines(listed)) == lines
    assert plain_size(listed) == sum(len(line) + 1 for line in lines)


@pytest.mark.parametrize("content", [b"garbage that is no zstd", b"\x28\xb5\x2f\xfd"])
def test_a_damaged_sealed_file_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    plain_only(tmp_path)
    seal_closed_hours(tmp_path, NOW_MS)
    sealed = the_file(tmp_path).sealed
    assert sealed is not None
    sealed.write_bytes(content)
    with pytest.raises(SpoolError, match="found a damaged one"):
        list(read_lines(the_file(tmp_path)))


def test_the_size_of_a_sealed_file_comes_from_the_ledger_or_from_the_file(tmp_path: Path) -> None:
    lines = plain_only(tmp_path)
    seal_closed_hours(tmp_path, NOW_MS)
    file = the_file(tmp_path)
    size = sum(len(line) + 1 for line in lines)
    assert plain_size(file) == size
    (file.folder / "_ledger.ndjson").unlink()
    assert plain_size(file) == size


def test_duckdb_reads_what_was_sealed(tmp_path: Path) -> None:
    lines = plain_only(tmp_path)
    seal_closed_hours(tmp_path, NOW_MS)
    paths = [str(path) for path in parts(the_file(tmp_path))]
    with duckdb.connect() as con:
        rows = con.execute("SELECT recv_ns FROM read_json($paths, format => 'newline_delimited')", {"paths": paths})
        assert [row[0] for row in rows.fetchall()] == list(range(len(lines)))
