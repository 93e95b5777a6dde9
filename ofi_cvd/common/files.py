"""Files that appear whole, and locks: the one home of what must survive a crash and what must not run twice."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ofi_cvd.errors import LockedError, UsageError


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> Path:
    """Write a file so that it appears whole and stays: beside, fsynced, renamed, the folder fsynced.

    Folders that are missing are made. A file that was there before is untouched until the new one takes its place.

    Raises:
        OSError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # another process may be writing the same file
    new_folders = _make_folder(path.parent)
    try:
        with beside.open("wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    for folder in (path.parent, *new_folders):
        with contextlib.suppress(PermissionError):  # a folder that may be written and not read
            fsync_folder(folder)
    return path


def write_text(path: Path, text: str) -> Path:
    r"""Write a text whole, in UTF-8 with `\n`.

    Raises:
        OSError: it cannot be written.
    """
    return write_whole(path, text.encode())


def usable_folder(path: Path) -> Path:
    """Make a folder where it is missing, and try that it can be written.

    Raises:
        UsageError: it cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{path}: expected a folder that can be written, found {reason}") from None


def fsync_path(path: Path) -> None:
    """Make a file's bytes durable; a file that is gone needs nothing.

    Raises:
        OSError: the disk refused.
    """
    try:
        handle = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))  # Windows flushes only what it may write
    except FileNotFoundError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_folder(folder: Path) -> None:
    """Make new names in a folder durable, where the platform can.

    Raises:
        OSError: the disk refused.
    """
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock_at(path: Path, *, wait_s: float = -1.0) -> FileLock:
    """Return the lock file at `path`, not held yet; its folder is made where it is missing.

    Use it in a `with` statement where waiting is right; `exclusive` says who holds it instead.

    Args:
        path: the lock file.
        wait_s: how long to wait for another process that holds it; negative: for ever.

    Raises:
        OSError: the folder cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, timeout=wait_s)


def take_at_once(lock: FileLock) -> bool:
    """Take a lock if nobody holds it; return whether it was taken.

    Raises:
        OSError: the lock file cannot be opened.
    """
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


@contextlib.contextmanager
def exclusive(path: Path, *, busy: str, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock file at `path` while the block runs; its folder is made where it is missing.

    Args:
        path: the lock file.
        busy: what is said when another process holds it.
        wait_s: how long to wait for that process.

    Raises:
        LockedError: another process holds it.
        UsageError: the folder cannot be made or written.
    """
    try:
        lock = lock_at(path, wait_s=wait_s)
        lock.acquire()
    except Timeout:
        raise LockedError(busy) from None
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{path.parent}: expected a folder that can be written, found {reason}") from None
    try:
        yield
    finally:
        lock.release()


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder; return the folders whose list of names grew by that."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return [one.parent for one in missing]
