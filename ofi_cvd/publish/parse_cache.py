"""Rows of spool files that still grow, kept by a process that builds again and again: each line is parsed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import polars as pl

from ofi_cvd.spool.layout import SpoolFile
from ofi_cvd.spool.reader import read_bytes_from


@dataclass
class Rows:
    """Readable rows of one logical file, and the lines that were not readable, by reason."""

    frame: pl.DataFrame
    refused: Counter[str] = field(default_factory=Counter)


Parse: TypeAlias = Callable[[SpoolFile, Iterable[bytes]], Rows]


@dataclass(frozen=True)
class _Known:
    size: int
    rows: Rows


class ParseCache:
    """Rows by file. Only whole lines are taken: what is behind the last newline is read when its line is complete.

    Attributes:
        intact: hours, as (symbol, start in ms), whose parts this process has seen in their places.
    """

    def __init__(self) -> None:
        self.intact: set[tuple[str, int]] = set()
        self._known: dict[tuple[int, str], _Known] = {}
        self._asked: set[tuple[int, str]] = set()

    def read(self, file: SpoolFile, size: int, parse: Parse) -> Rows:
        """Return the rows of the first `size` plain bytes of `file`; `parse` is given the lines that are new.

        Raises:
            SpoolError: the file cannot be read.
        """
        key = (file.hour_ms, file.name)
        self._asked.add(key)
        known = self._known.get(key)
        if known is None or known.size > size:
            known = _Known(0, parse(file, ()))
        lines = _whole_lines(file, known.size, size)
        if lines:
            fresh = parse(file, lines[:-1].split(b"\n"))
            rows = Rows(pl.concat([known.rows.frame, fresh.frame], rechunk=True), known.rows.refused + fresh.refused)
            known = _Known(known.size + len(lines), rows)
        self._known[key] = known
        return Rows(known.rows.frame, known.rows.refused.copy())

    def turn(self) -> None:
        """Forget the files that were not asked for since the last turn: nothing is built from them any more."""
        self._known = {key: known for key, known in self._known.items() if key in self._asked}
        self._asked = set()


def _whole_lines(file: SpoolFile, start: int, end: int) -> bytes:
    """Return the bytes `[start, end)` up to the last newline among them."""
    data = bytearray()
    for chunk in read_bytes_from(file, start) if end > start else ():
        data += chunk
        if len(data) >= end - start:
            break
    del data[end - start :]
    del data[data.rfind(b"\n") + 1 :]
    return bytes(data)
