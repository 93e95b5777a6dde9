"""Where the last recording stopped: the newest lines of a stream on the disk, read in moments so that recording can begin.

What lies further back, gaps that are still open, is looked for meanwhile (`lookback`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from ofi_cvd.binance.keys import Key, key_reader
from ofi_cvd.spool.layout import SpoolFile, find_file
from ofi_cvd.spool.reader import plain_size, read_lines

QUICK_BYTES = 256 * 1024
FULL_BYTES = 2 * 1024 * 1024


class TailLine(NamedTuple):
    """What one stored line says: its key, its receipt, and the connection it came by."""

    key: Key
    recv_ns: int
    conn: str


@dataclass(frozen=True)
class Tail:
    """The end of one stream on the disk, in file order.

    Attributes:
        lines: the newest lines that can be read.
        is_cut: whether older lines of the same hour were left.
    """

    lines: tuple[TailLine, ...] = ()
    is_cut: bool = False

    @property
    def keys(self) -> list[tuple[Key, int]]:
        """Keys and receipts."""
        return [(line.key, line.recv_ns) for line in self.lines]


class _Receipt(msgspec.Struct):
    recv_ns: int
    conn: str = ""


_RECEIPT = msgspec.json.Decoder(_Receipt)


def find_tail(
    root: Path, hours_ms: Sequence[int], symbol: str, stream: str, market: str, size: int = QUICK_BYTES
) -> Tail:
    """Read the end of a stream: the newest hour that has a readable line.

    Args:
        root: the spool.
        hours_ms: its hours, oldest first.
        symbol: upper case.
        stream: the name after `@`.
        market: `usdm` or `spot`.
        size: how many bytes to read.
    """
    read = key_reader(stream, market)
    for hour_ms in reversed(hours_ms):
        file = find_file(root, hour_ms, symbol, stream)
        if file is None:
            continue
        offset = max(0, plain_size(file) - size)
        lines = tuple(read_keys(file, read, offset))  # where it is cut, the first is part of a line and does not parse
        if lines:
            return Tail(lines, offset > 0)
    return Tail()


def read_keys(file: SpoolFile, read: Callable[[bytes], Key], offset: int = 0) -> Iterator[TailLine]:
    """Yield what the lines of a file say; one that is torn or damaged was never seen."""
    for line in read_lines(file, offset):
        try:
            receipt = _RECEIPT.decode(line)
            yield TailLine(read(line), receipt.recv_ns, receipt.conn)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
