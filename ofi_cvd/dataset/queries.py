"""SQL over the dataset: views of one moment, and questions that are asked again when their files were replaced."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import duckdb
import polars as pl

from ofi_cvd.dataset.views import ledger_view, table_view
from ofi_cvd.errors import RunError
from ofi_cvd.publish.parts import Part
from ofi_cvd.schemas import KINDS, Kind

_READS: Final = 100

T = TypeVar("T")


class Queries(ABC):
    """The part of a dataset that speaks SQL."""

    path: Path
    spool: Path | None
    _start_ms: int | None
    _end_ms: int | None
    _whole_hours: bool

    @abstractmethod
    def parts(self, *kinds: Kind) -> list[Part]:
        """Return the files that make up the dataset now."""

    def _open_views(self) -> None:
        self._viewed: list[Part] | None = None
        self._connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET enable_external_file_cache = false")  # never the bytes of a file since replaced

    def close(self) -> None:
        """Close the DuckDB connection; lazy frames stay usable."""
        self._connection.close()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """An in-memory connection with the six views over the files of this moment.

        While `ofi compact` or `ofi build` runs, prefer `sql` or `read`, which notice when files are replaced.
        """
        self._show(self.parts())
        return self._connection

    def sql(self, query: str, **params: object) -> pl.DataFrame:
        """Run one query over the views; values are bound as `$name`.

        Raises:
            duckdb.Error: the query is wrong.
            RunError: files it reads kept being replaced.

        Example:
            >>> from ofi_cvd import open_sample
            >>> open_sample().sql("SELECT count(*) AS n FROM fusion WHERE symbol = $symbol", symbol="BNBUSDT").item()
            720
        """

        def ask(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
            frame: pl.DataFrame = connection.sql(query, params=params or None).pl()
            return frame

        return self.read(ask)

    def read(self, question: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Return `question(connection)`, asked again if a file it may have used was replaced meanwhile.

        Several queries in one `question` see the same files.

        Raises:
            RunError: files kept being replaced.
        """
        for _ in range(_READS):
            parts = self.parts()
            try:
                self._show(parts)
                answer = question(self._connection)
            except (duckdb.Error, OSError):
                if self._still(parts):
                    raise
                continue
            if self._still(parts):
                return answer
        raise RunError(f"{self.path}: expected files that stay for one query, found them replaced {_READS} times")

    def _still(self, parts: Sequence[Part]) -> bool:
        """Return whether every part that was read is still current; parts that came since do not matter."""
        return set(parts) <= set(self.parts())

    def _show(self, parts: list[Part]) -> None:
        if parts != self._viewed:
            self._viewed = None
            for kind in KINDS:
                own = [part for part in parts if part.kind == kind]
                self._connection.execute(table_view(kind, own, self._condition()))
            self._viewed = parts
        self._connection.execute(ledger_view(self._ledgers()))

    def _condition(self) -> str:
        bounds = [f"ts_ms >= {self._start_ms}"] if self._start_ms is not None else []
        bounds += [f"ts_ms < {self._end_ms}"] if self._end_ms is not None else []
        return "" if self._whole_hours else " AND ".join(bounds)

    def _ledgers(self) -> list[Path]:
        return sorted(self.spool.glob("date=*/hour=*/_ledger.ndjson")) if self.spool else []
