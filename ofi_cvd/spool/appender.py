"""One open spool file: lines that wait, and how far the disk has taken them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from ofi_cvd.spool.disk import ends_torn, open_append
from ofi_cvd.spool.ledger import Ledger


@dataclass(frozen=True)
class Damage:
    """What happened to a file under its writer.

    Attributes:
        reason: `deleted` or `truncated`.
        lines: how many lines of ours that took, in proportion where a part is left.
        lost_bytes: how many bytes are gone.
    """

    reason: str
    lines: int
    lost_bytes: int


@dataclass
class Appender:
    """Buffers lines and appends them; after a short or refused write it goes on at the very byte.

    Attributes:
        lines: whole lines without newline that no write has been tried with.
        unsynced: this file and folders that hold new names, as far as they were written and not fsynced since.
    """

    path: Path
    hour_ms: int
    symbol: str
    stream: str
    lines: list[bytes] = field(default_factory=list)
    unsynced: set[Path] = field(default_factory=set)
    _rest: bytes = b""  # joined bytes of which the disk has taken `_taken`; starts at the start of a line
    _taken: int = 0
    _size: int = -1  # of the file after our last write: tells our own half line from a stranger's
    _handle: int | None = None
    _opened_size: int = 0
    _written: int = 0  # lines given to the file since it was opened

    @property
    def waiting(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.lines) or len(self._rest) > self._taken

    @property
    def waiting_bytes(self) -> int:
        """Bytes the operating system has not taken yet, newlines included."""
        return len(self._rest) - self._taken + sum(map(len, self.lines)) + len(self.lines)

    @property
    def waiting_lines(self) -> int:
        """Lines the operating system has not taken whole yet."""
        return len(self.lines) + self._rest.count(b"\n")

    def write(self, ledger: Ledger, now_ns: int) -> None:
        """Append everything that waits.

        Raises:
            OSError: the disk refused; what it has not taken still waits.
        """
        if self._handle is None:
            self._open(ledger, now_ns)
        assert self._handle is not None  # noqa: S101  # opened above
        self._drain(self._handle)
        if self.lines:
            self._rest = b"\n".join(self.lines) + b"\n"
            self.lines.clear()
            self._drain(self._handle)

    def damage(self) -> Damage | None:
        """Return what somebody did to the open file, and let go of it so that the next write begins anew.

        Raises:
            OSError: the disk refused to say.
        """
        if self._handle is None:
            return None
        ours = os.fstat(self._handle)
        try:
            is_there = os.path.samestat(ours, self.path.stat())
        except FileNotFoundError:
            is_there = False
        if is_there and ours.st_size >= self._size:
            return None
        lost_bytes = self._size - (ours.st_size if is_there else 0)
        ours_bytes = self._size - self._opened_size
        share = min(1.0, lost_bytes / ours_bytes) if ours_bytes else 0.0
        damage = Damage("truncated" if is_there else "deleted", round(share * self._written), lost_bytes)
        self.close()
        return damage

    def close(self) -> None:
        """Give the descriptor back; a half-written line stays known and is finished when it is opened again."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            os.close(handle)

    def _drain(self, handle: int) -> None:
        """Write `_rest`; whatever happens, keep it from the first line on that the disk has not wholly taken."""
        try:
            while self._taken < len(self._rest):
                count = os.write(handle, memoryview(self._rest)[self._taken :])
                if count <= 0:
                    raise OSError(f"{self.path.name}: the disk takes no more bytes")
                self._taken += count
                self._size += count
                self.unsynced.add(self.path)
        finally:
            whole = self._rest.rfind(b"\n", 0, self._taken) + 1
            self._written += self._rest.count(b"\n", 0, whole)
            self._rest, self._taken = self._rest[whole:], self._taken - whole

    def _open(self, ledger: Ledger, now_ns: int) -> None:
        handle, folders = open_append(self.path)
        try:
            self.unsynced.update(folders)
            size = os.fstat(handle).st_size
            if self._taken and size != self._size:
                self._taken = 0  # somebody closed our half line or sealed it away: send the line again, whole
            if not self._taken and ends_torn(self.path):
                os.write(handle, b"\n")
                size += 1
                ledger.record(
                    "torn",
                    recv_ns=now_ns,
                    symbol=self.symbol,
                    stream=self.stream,
                    hour_ms=self.hour_ms,
                    file=self.path.name,
                    offset=size - 1,
                )
        except OSError:
            os.close(handle)
            raise
        self._size = self._opened_size = size
        self._handle, self._written = handle, 0
