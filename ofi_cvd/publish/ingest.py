"""Brings spool files into memory as readable rows, counting every line that is not used."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from ofi_cvd.binance import frames
from ofi_cvd.errors import SpoolError
from ofi_cvd.features import book, trades
from ofi_cvd.publish.parse_cache import ParseCache, Rows
from ofi_cvd.publish.segments import SegmentFile, segment_rows
from ofi_cvd.settings import Settings
from ofi_cvd.spool.layout import SpoolFile
from ofi_cvd.spool.reader import parts, read_lines


@dataclass(frozen=True)
class Reader:
    """Reads the logical files of one dataset's two streams.

    Attributes:
        connection: DuckDB, the parser.
        settings: which streams, how many levels.
        levels: levels of the book source that carry a weight.
        cache: of a process that builds again and again.
    """

    connection: duckdb.DuckDBPyConnection
    settings: Settings
    levels: int
    cache: ParseCache | None = None

    def read(self, file: SpoolFile, size: int, offset: int = 0) -> Rows:
        """Return the readable rows of `file` behind `offset` plain bytes.

        Args:
            file: the logical file.
            size: its plain bytes; what a file that grows has gained since may be left out.
            offset: a line's beginning.

        Raises:
            SpoolError: the file cannot be read at all, such as a damaged sealed file.
        """
        if isinstance(file, SegmentFile):
            return Rows(*segment_rows(file.of, self.levels))
        if offset:
            return self._read_lines(file, read_lines(file, offset))
        if self.cache is not None and file.sealed is None:
            return self.cache.read(file, size, self._read_lines)
        try:
            return self._parse(file, parts(file))
        except SpoolError:
            return self._read_lines(
                file, read_lines(file)
            )  # a line longer than the parser takes: leave it out, count it

    def _read_lines(self, file: SpoolFile, lines: Iterable[bytes]) -> Rows:
        oversize = 0
        with tempfile.TemporaryDirectory(prefix="ofi-") as folder:
            copy = Path(folder) / "lines.ndjson"
            with copy.open("wb") as target:
                for line in lines:
                    if len(line) > frames.MAX_LINE_BYTES:
                        oversize += 1
                    else:
                        target.write(line + b"\n")
            rows = self._parse(file, [copy])
        rows.refused["oversize"] += oversize
        return rows

    def _parse(self, file: SpoolFile, paths: list[Path]) -> Rows:
        if file.stream == self.settings.trade_stream:
            raw = frames.read_trades(self.connection, paths, file.stream)
            parse_error = trades.parse_error()
        else:
            raw = frames.read_books(
                self.connection, paths, file.stream, levels=self.levels, market=self.settings.market
            )
            parse_error = book.parse_error(self.levels)
        judged = raw.with_columns(parse_error=parse_error)
        counts = judged.filter(pl.col("parse_error").is_not_null())["parse_error"].value_counts()
        refused: Counter[str] = Counter(dict(counts.iter_rows()))
        return Rows(judged.filter(pl.col("parse_error").is_null()).drop("parse_error", "number_error"), refused)
