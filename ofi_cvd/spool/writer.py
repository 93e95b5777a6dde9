"""Appends received lines to the hourly files: buffered, resumed where a disk refused, never torn."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from ofi_cvd.common.files import take_at_once
from ofi_cvd.common.times import HOUR_NS, hour_of
from ofi_cvd.spool.appender import Appender
from ofi_cvd.spool.disk import SyncBatch, closed_hours_lock
from ofi_cvd.spool.layout import hour_of_ns, stream_path
from ofi_cvd.spool.ledger import Ledger

LOCKED_NS = 2_000_000_000  # a lock held for longer is said, and again at this interval
LATE_NS = 30_000_000_000  # after this an hour's files are no longer held open, so that a seal may take them

log = logging.getLogger(__name__)


class Lost(NamedTuple):
    """Lines of one stream that never reached the disk."""

    symbol: str
    stream: str
    lines: int
    bytes: int


class SpoolWriter:
    """The spool's writing end; one per recording process.

    `append` only remembers. `flush` and `sync` touch the disk; where it refuses they raise `OSError` and keep every byte
    that has not arrived, and the next call goes on exactly where the disk stopped, in mid-line if need be.

    Args:
        root: the spool's folder; it is created with the first line.
        ledger: where torn lines are noted, by default the spool's own.
        clock_ns: the time, which decides what hours are over.
    """

    def __init__(
        self,
        root: Path,
        *,
        ledger: Ledger | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.ledger = ledger or Ledger(root)
        self._root = root
        self._clock_ns = clock_ns
        self._files: dict[tuple[int, str, str, bool], Appender] = {}
        self._unsynced: set[Path] = set()
        self._waiting = 0
        self._locked_since_ns: int | None = None
        self._said_ns = 0

    @property
    def pending_bytes(self) -> int:
        """Bytes that the operating system has not taken yet."""
        return self._waiting

    def append(
        self,
        symbol: str,
        stream: str,
        recv_ns: int,
        line: bytes,
        *,
        repair: bool = False,
        hour_ms: int | None = None,
    ) -> None:
        """Take one line, without its newline, for the hour of `recv_ns` (or `hour_ms`: the hour a repair belongs to).

        Raises:
            InputError: a symbol, stream or time that cannot be a file; the line is not taken.
        """
        key = (recv_ns // HOUR_NS if hour_ms is None else hour_ms * 1_000_000 // HOUR_NS, symbol, stream, repair)
        file = self._files.get(key)
        if file is None:
            hour_ms = hour_of_ns(recv_ns) if hour_ms is None else hour_of(hour_ms)
            path = stream_path(self._root, hour_ms, symbol, stream, repair=repair)
            file = self._files[key] = Appender(path, hour_ms, symbol, stream)
        file.lines.append(line)
        self._waiting += len(line) + 1

    def flush(self, now_ns: int | None = None) -> None:
        """Give everything that waits to the operating system and let go of files whose hour is over.

        A file that refuses does not keep the others from being written. Lines for hours that are over wait while
        another process holds the lock of closed hours.

        Raises:
            OSError: the disk refused (the first of the reasons); what was not written is kept.
        """
        now_ns = self._clock_ns() if now_ns is None else now_ns
        refused: OSError | None = None
        for key, file in list(self._files.items()):
            try:
                if now_ns < (key[0] + 1) * HOUR_NS + LATE_NS:
                    if file.waiting:
                        self._retry_without_handles(partial(file.write, self.ledger, now_ns))
                elif self._flush_late(file, now_ns):
                    self._unsynced |= file.unsynced
                    del self._files[key]
            except OSError as error:
                refused = refused or error
        self._waiting = sum(file.waiting_bytes for file in self._files.values())
        self._retry_without_handles(self.ledger.flush)
        if refused is not None:
            raise refused

    def sync(self, now_ns: int | None = None) -> None:
        """Flush, and make everything durable.

        Raises:
            OSError: the disk refused; nothing is forgotten.
        """
        self.flush(now_ns)
        batch = self.take_unsynced()
        try:
            batch.run()
        finally:
            self.put_back(batch)

    def take_unsynced(self) -> SyncBatch:
        """Return what was written and is not durable, and forget it: the caller runs the batch, here or elsewhere."""
        paths, self._unsynced = self._unsynced | self.ledger.unsynced, set()
        self.ledger.unsynced = set()
        for file in self._files.values():
            paths |= file.unsynced
            file.unsynced = set()
        return SyncBatch(paths)

    def put_back(self, batch: SyncBatch) -> None:
        """Take back what of a batch the disk refused."""
        self._unsynced |= batch.paths

    def find_damage(self, now_ns: int) -> int:
        """Look whether open files were deleted or truncated by somebody; note it, begin anew, and return how many."""
        found = 0
        for file in self._files.values():
            damage = file.damage()
            if damage is None:
                continue
            found += 1
            facts: dict[str, Any] = {"reason": damage.reason, "count": damage.lines, "bytes": damage.lost_bytes}
            log.error("spool.file_damaged", extra={"file": str(file.path)} | facts)
            self.ledger.record("drop", recv_ns=now_ns, symbol=file.symbol, stream=file.stream, **facts)
        return found

    def close(self) -> None:
        """Write, make durable and close everything.

        Raises:
            OSError: the disk refused; the writer stays usable, so that the caller can try again or `abandon`.
        """
        self.sync()
        if self._waiting:
            raise OSError("another process holds the lock of closed hours")
        self.abandon()

    def abandon(self) -> list[Lost]:
        """Close the files without writing; return what that loses, by file."""
        lost = [
            Lost(file.symbol, file.stream, file.waiting_lines, file.waiting_bytes)
            for file in self._files.values()
            if file.waiting
        ]
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._waiting = 0
        return lost

    def _flush_late(self, file: Appender, now_ns: int) -> bool:
        """Write to an hour that is over: a seal may swap its files, so open, write and close under the lock.

        Returns False if the lock is held by another process: then the lines wait, and the others are written.
        """
        file.close()
        if not file.waiting:
            return True
        lock = closed_hours_lock(self._root)
        if not take_at_once(lock):
            self._say_locked(now_ns)
            return False
        try:
            file.write(self.ledger, now_ns)
        finally:
            file.close()
            lock.release()
        self._locked_since_ns = None
        return True

    def _say_locked(self, now_ns: int) -> None:
        since_ns = self._locked_since_ns = now_ns if self._locked_since_ns is None else self._locked_since_ns
        if now_ns - since_ns >= LOCKED_NS and now_ns - self._said_ns >= LOCKED_NS:
            self._said_ns = now_ns
            log.warning("spool.closed_hours_locked", extra={"held_s": (now_ns - since_ns) // 1_000_000_000})

    def _retry_without_handles(self, write: Callable[[], None]) -> None:
        """Write; where the process may open no more files, close those that are open and try again."""
        try:
            write()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            for file in self._files.values():
                file.close()
            write()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except OSError:
            self.abandon()
            if error is None:
                raise
