"""Appends received lines to the hourly files: buffered, resumed where a disk refused, never torn (SPEC section 2)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ofi_cvd.common.times import HOUR_NS, hour_of
from ofi_cvd.spool.appender import Appender
from ofi_cvd.spool.disk import closed_hours_lock
from ofi_cvd.spool.hours import hour_of_ns, stream_path
from ofi_cvd.spool.ledger import Ledger

LATE_NS = 30_000_000_000  # after this an hour's files are no longer held open, so that a seal may take them

_CONN = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def splice(recv_ns: int, conn: str, raw: bytes) -> bytes:
    """Return the spool line of a received JSON object: two keys in front, the rest verbatim.

    Only line breaks change, to spaces: in JSON they can stand between tokens alone.

    Raises:
        ValueError: `raw` does not begin and end like a JSON object with keys, or `conn` is no plain word.

    Example:
        >>> splice(7, "m1", b'{"stream":"btcusdt@trade","data":{}}')
        b'{"recv_ns":7,"conn":"m1","stream":"btcusdt@trade","data":{}}'
    """
    if raw[:2] != b'{"' or raw[-1:] != b"}":
        raw = raw.strip()
        if raw[:1] != b"{" or raw[-1:] != b"}" or not raw[1:-1].strip():
            raise ValueError(f"expected a JSON object, found {raw[:60]!r}")
    if b"\n" in raw or b"\r" in raw:
        raw = raw.replace(b"\r", b" ").replace(b"\n", b" ")
    if not _CONN.fullmatch(conn):
        raise ValueError(f"expected a plain word for the connection, found {conn[:80]!r}")
    return b'{"recv_ns":%d,"conn":"%b",%b' % (recv_ns, conn.encode(), raw[1:])


def wrap(recv_ns: int, conn: str, stream: str, data: bytes) -> bytes:
    """Return the spool line of a message that came without its stream name: a REST row or a raw frame.

    Args:
        recv_ns: when it was received.
        conn: the connection, `rest` for a REST row.
        stream: the venue's stream name, `btcusdt@aggTrade`.
        data: the message, verbatim.
    """
    return splice(recv_ns, conn, b'{"stream":"%b","data":%b}' % (stream.encode(), data.strip()))


class SpoolWriter:
    """The spool's writing end; one per recording process.

    `append` only remembers. `tick`, `flush` and `sync` touch the disk; where it refuses they raise `OSError` and keep
    every byte that has not arrived, and the next call goes on exactly where the disk stopped, in mid-line if need be.

    Args:
        root: the spool's folder; it is created with the first line.
        flush_secs: lines reach the operating system at least this often, driven by `tick`.
        fsync_secs: and the disk at least this often; None leaves that to the operating system.
        flush_bytes: `tick` flushes at once when this much is waiting.
        ledger: where torn lines are noted, by default the spool's own.
        clock_ns: the time, which decides what hours are over.
    """

    def __init__(
        self,
        root: Path,
        *,
        flush_secs: float = 0.2,
        fsync_secs: float | None = 1.0,
        flush_bytes: int = 4 * 1024 * 1024,
        ledger: Ledger | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.ledger = ledger or Ledger(root)
        self._root = root
        self._flush_ns = round(flush_secs * 1e9)
        self._fsync_ns = None if fsync_secs is None else round(fsync_secs * 1e9)
        self._flush_bytes = flush_bytes
        self._clock_ns = clock_ns
        self._files: dict[tuple[int, str, str, bool], Appender] = {}
        self._waiting = 0
        self._refused = False
        self._next_flush_ns = 0
        self._next_sync_ns = 0

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

    def tick(self, now_ns: int | None = None) -> None:
        """Do what is due: flush, fsync, close the files of hours that are over. Cheap when nothing is.

        Raises:
            OSError: the disk refused; nothing is forgotten, and the next tick tries again.
        """
        now_ns = self._clock_ns() if now_ns is None else now_ns
        if self._fsync_ns is not None and now_ns >= self._next_sync_ns:
            self.sync(now_ns)
        elif now_ns >= self._next_flush_ns or (self._waiting >= self._flush_bytes and not self._refused):
            self.flush(now_ns)

    def flush(self, now_ns: int | None = None) -> None:
        """Give everything that waits to the operating system and let go of files whose hour is over.

        A file that refuses does not keep the others from being written.

        Raises:
            OSError: the disk refused (the first of the reasons); what was not written is kept.
        """
        now_ns = self._clock_ns() if now_ns is None else now_ns
        self._next_flush_ns = now_ns + self._flush_ns  # a disk that refuses is asked again then, not at every tick
        refused: OSError | None = None
        for key, file in list(self._files.items()):
            try:
                if now_ns >= (key[0] + 1) * HOUR_NS + LATE_NS:
                    self._flush_late(file)
                    del self._files[key]
                elif file.waiting:
                    file.write(self.ledger, now_ns)
            except OSError as error:
                refused = refused or error
        self._waiting = sum(file.waiting_bytes for file in self._files.values())
        self._refused = refused is not None
        self.ledger.flush()
        if refused is not None:
            raise refused

    def sync(self, now_ns: int | None = None) -> None:
        """Flush, and make everything durable.

        Raises:
            OSError: the disk refused; nothing is forgotten.
        """
        now_ns = self._clock_ns() if now_ns is None else now_ns
        if self._fsync_ns is not None:
            self._next_sync_ns = now_ns + self._fsync_ns
        self.flush(now_ns)
        for file in self._files.values():
            file.fsync()
        self.ledger.sync()

    def close(self) -> None:
        """Write, make durable and close everything.

        Raises:
            OSError: the disk refused; the writer stays usable, so that the caller can try again or `abandon`.
        """
        self.sync()
        self.abandon()

    def abandon(self) -> int:
        """Close the files without writing; return how many bytes that loses (the caller's ledger names them)."""
        lost, self._waiting = self._waiting, 0
        for file in self._files.values():
            file.close()
        self._files.clear()
        return lost

    def _flush_late(self, file: Appender) -> None:
        """Write to an hour that is over: a seal may swap its files, so open, write and close under the lock."""
        if not file.waiting:
            if self._fsync_ns is not None:
                file.fsync()
            file.close()
            return
        file.close()
        with closed_hours_lock(self._root):
            try:
                file.write(self.ledger, self._clock_ns())
                if self._fsync_ns is not None:
                    file.fsync()
            finally:
                file.close()

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
