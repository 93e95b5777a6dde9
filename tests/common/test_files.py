"""Files that appear whole and survive, and locks that say who holds them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ofi_cvd.common import files
from ofi_cvd.errors import LockedError, UsageError


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the disk, in order: `fsync` with the name behind the descriptor, `rename` with the new name."""
    seen: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(handle: int) -> None:
        seen.append(f"fsync {Path(f'/proc/self/fd/{handle}').readlink().name}")
        fsync(handle)

    def noted_replace(self: Path, target: Path) -> Path:
        seen.append(f"rename {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    return seen


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of descriptors are read from /proc")
def test_bytes_are_durable_before_the_name_and_the_name_before_the_return(tmp_path: Path, calls: list[str]) -> None:
    """The order that survives a power cut at any moment, new folders included."""
    files.write_whole(tmp_path / "new" / "deep" / "file.json", b"{}")
    beside = f"fsync .file.json.{os.getpid()}.tmp"
    assert calls == [beside, "rename file.json", "fsync deep", "fsync new", f"fsync {tmp_path.name}"]
    calls.clear()
    files.write_text(tmp_path / "new" / "deep" / "file.json", "[]")
    assert calls == [beside, "rename file.json", "fsync deep"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = files.write_text(tmp_path / "report.json", "old\n")

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        files.write_whole(path, broken())
    assert path.read_bytes() == b"old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_is_held_by_one_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "state" / "build.lock"
    with (
        files.exclusive(path, busy="held"),
        pytest.raises(LockedError, match=r"^held$"),
        files.exclusive(path, busy="held"),
    ):
        pass
    with files.exclusive(path, busy="held"):
        pass


def test_a_lock_in_a_folder_that_cannot_be_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    lock = files.exclusive(tmp_path / "file" / "build.lock", busy="held")
    with pytest.raises(UsageError, match=r"file: expected a folder that can be written, found "), lock:
        pass
