"""The few things the spool asks of the operating system: append handles and the lock of closed hours."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from ofi_cvd.common.files import fsync_folder, fsync_path, lock_at

APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT
for _flag in ("O_BINARY", "O_NOINHERIT", "O_NOFOLLOW"):  # each where the platform has it
    APPEND |= getattr(os, _flag, 0)


def open_append(path: Path) -> tuple[int, list[Path]]:
    """Return a descriptor that appends to `path`, creating it and its folders, and the folders with a new name.

    The new names are durable once those folders are fsynced (`fsync_folder`).

    Raises:
        OSError: the disk refused.
    """
    new = not path.exists()
    folder_new = new and not path.parent.exists()
    if folder_new:
        path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, APPEND, 0o644)
    return handle, list(path.parents)[: 3 if folder_new else 1] if new else []  # hour, date, spool


def ends_torn(path: Path) -> bool:
    """Return whether the file has bytes and the last one is no newline; False if there is no file."""
    try:
        with path.open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except FileNotFoundError:
        return False


class SyncBatch:
    """Files and folders to be made durable; may be run by another thread than the one that writes.

    Attributes:
        paths: what is not durable yet.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths = set(paths)

    def run(self) -> None:
        """Fsync everything, files before the folders that name them.

        Raises:
            OSError: the disk refused; `paths` is what is left.
        """
        for path in sorted(self.paths, key=lambda path: (path.is_dir(), path)):
            if path.is_dir():
                fsync_folder(path)
            else:
                fsync_path(path)
            self.paths.discard(path)


def closed_hours_lock(root: Path) -> FileLock:
    """Return the lock under which files of hours that are over are appended to or swapped; held for moments only."""
    return lock_at(root / ".closed-hours.lock")
