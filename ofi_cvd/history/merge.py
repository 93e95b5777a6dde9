"""Adds imported lines to the spool unless they are there already: what makes an import safe to repeat or resume."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.spool.layout import find_file, hour_of_ns
from ofi_cvd.spool.reader import read_lines
from ofi_cvd.spool.writer import SpoolWriter

FLUSH_BYTES = 8 * 1024 * 1024
KEPT_HOURS = 2  # hours behind the newest line whose contents stay in memory for comparison


class Merger:
    """Adds each line of one source at most once.

    The lines of a target file that stood in it when the source first touched it are counted; a line of the source uses
    one up, or else is added. So a source may hold a line twice, and importing it again still adds nothing.

    Args:
        root: the spool.
        writer: its writer.
    """

    def __init__(self, root: Path, writer: SpoolWriter) -> None:
        self._root = root
        self._writer = writer
        self._there: dict[tuple[int, str, str], dict[bytes, int]] = {}
        self._newest_ms = 0

    def add(self, symbol: str, stream: str, recv_ns: int, line: bytes) -> bool:
        """Append a line to its hour's file unless it is there; return whether it was added.

        Raises:
            InputError: the symbol, stream or time cannot be a file.
            SpoolError: the target's sealed file is damaged.
            OSError: the disk refused.
        """
        hour_ms = hour_of_ns(recv_ns)
        there = self._there.get((hour_ms, symbol, stream))
        if there is None:
            there = self._load(hour_ms, symbol, stream)
        if there:
            digest = _digest(line)
            left = there.get(digest, 0)
            if left:
                there[digest] = left - 1
                return False
        self._writer.append(symbol, stream, recv_ns, line)
        if self._writer.pending_bytes >= FLUSH_BYTES:
            self._writer.flush()
        return True

    def _load(self, hour_ms: int, symbol: str, stream: str) -> dict[bytes, int]:
        if hour_ms > self._newest_ms:
            self._newest_ms = hour_ms
            oldest = hour_ms - KEPT_HOURS * HOUR_MS
            self._there = {key: there for key, there in self._there.items() if key[0] >= oldest}
        self._writer.flush()  # lines of an earlier source may still wait
        there: dict[bytes, int] = {}
        if file := find_file(self._root, hour_ms, symbol, stream):
            for line in read_lines(file):
                digest = _digest(line)
                there[digest] = there.get(digest, 0) + 1
        self._there[hour_ms, symbol, stream] = there
        return there


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()
