"""The published dataset as a researcher meets it: lazy frames, DuckDB views, one-line SQL.

A reader never sees a row twice or not at all while `ofi compact` runs: `Dataset.sql` and `Dataset.read` compare the
list of files before and after, and read again if a file they used was replaced meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, Self, TypeVar

import duckdb
import polars as pl

from ofi_cvd.errors import InputError, RunError
from ofi_cvd.publish.parts import Part, current_parts
from ofi_cvd.schemas import KINDS, TABLES, Kind

LEDGER: Final = {
    "recv_ns": "BIGINT", "event": "VARCHAR", "symbol": "VARCHAR", "stream": "VARCHAR", "conn": "VARCHAR",
    "expected": "BIGINT", "received": "BIGINT", "missing": "BIGINT", "start_ms": "BIGINT", "end_ms": "BIGINT",
    "offset_ms": "DOUBLE", "rtt_ms": "DOUBLE", "count": "BIGINT",
}  # fmt: skip
_SQL_TYPES: Final = {pl.Int64(): "BIGINT", pl.Float64(): "DOUBLE", pl.String(): "VARCHAR", pl.Boolean(): "BOOLEAN"}
_READS: Final = 100

T = TypeVar("T")


def open_dataset(
    path: str | Path = "data/ofi_cvd",
    *,
    spool: str | Path | None = None,
    symbols: Collection[str] | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> Dataset:
    """Open a published dataset; a folder that is empty or not there is a dataset without rows.

    Args:
        path: the dataset (`DATA_DIR`).
        spool: the spool, for the `ledger` view; without it that view is empty.
        symbols: read files of these symbols only.
        start_ms: read files of hours that end after this only (files, not rows, are left out).
        end_ms: read files that start before this only.

    Example:
        >>> from ofi_cvd import open_dataset
        >>> dataset = open_dataset("no/such/folder")
        >>> dataset.prices.select("ts_ms", "price").collect().shape
        (0, 2)
        >>> dataset.sql("SELECT count(*) AS n FROM prices WHERE symbol = $symbol", symbol="BTCUSDT").item()
        0
    """
    return Dataset(Path(path), Path(spool) if spool else None, symbols=symbols, start_ms=start_ms, end_ms=end_ms)


class Dataset:
    """Five tables and the ledger; made by `open_dataset`. Close it, or use it as a context manager.

    The frames have the columns of SPEC 10 in file order, then `date` (the folder's day). Filters on `date` and `symbol`
    skip files.

    Example:
        >>> with open_dataset("no/such/folder") as dataset:
        ...     dataset.events.collect_schema().names()[:4]
        ['ts_ms', 'symbol', 'event_type', 'meta_json']
    """

    def __init__(
        self,
        path: Path,
        spool: Path | None = None,
        *,
        symbols: Collection[str] | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> None:
        if path.exists() and not path.is_dir():
            raise InputError(f"{path}: expected the folder of a dataset, found a file")
        self.path, self.spool = path, spool
        self._symbols, self._start_ms, self._end_ms = symbols, start_ms, end_ms
        self._viewed: list[Part] | None = None
        self._connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET enable_external_file_cache = false")  # never the bytes of a file since replaced

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the DuckDB connection; lazy frames stay usable."""
        self._connection.close()

    @property
    def prices(self) -> pl.LazyFrame:
        """One row per trade."""
        return self.frame("prices")

    @property
    def ofi(self) -> pl.LazyFrame:
        """One row per bucket of order-flow imbalance."""
        return self.frame("ofi")

    @property
    def cvd(self) -> pl.LazyFrame:
        """One row per trade: cumulative volume delta."""
        return self.frame("cvd")

    @property
    def fusion(self) -> pl.LazyFrame:
        """One row per second with an `ofi` row."""
        return self.frame("fusion")

    @property
    def events(self) -> pl.LazyFrame:
        """One row per event."""
        return self.frame("events")

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """An in-memory connection with the six views over the files of this moment.

        While `ofi compact` or `ofi build` runs, prefer `sql` or `read`, which notice when files are replaced.
        """
        self._show(self.parts())
        return self._connection

    def parts(self, *kinds: Kind) -> list[Part]:
        """Return the files that make up the dataset now (of the given kinds), by path."""
        return current_parts(
            self.path,
            kinds=kinds or KINDS,
            symbols=self._symbols,
            start_ms=self._start_ms,
            end_ms=self._end_ms,
        )

    def frame(self, kind: Kind) -> pl.LazyFrame:
        """Return one table as a lazy frame over the files of this moment; without files, no rows of the same schema."""
        parts = self.parts(kind)
        schema = pl.Schema({**TABLES[kind].schema, "date": pl.Date()})
        if not parts:
            return pl.LazyFrame(schema=schema)
        hive = {"date": pl.Date(), "symbol": pl.String(), "kind": pl.String()}
        scan = pl.scan_parquet([part.path for part in parts], hive_partitioning=True, hive_schema=hive)
        return scan.select(schema.names())

    def sql(self, query: str, **params: object) -> pl.DataFrame:
        """Run one query over the views; values are bound as `$name`.

        Raises:
            duckdb.Error: the query is wrong.
            RunError: files it reads kept being replaced.

        Example:
            >>> open_dataset("no/such/folder").sql("SELECT $a::BIGINT + 1 AS b", a=1).item()
            2
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
            self._show(parts)
            try:
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
            for kind in KINDS:
                paths = [part.path for part in parts if part.kind == kind]
                self._connection.execute(_table_view(kind, paths))
            self._viewed = parts
        self._connection.execute(_ledger_view(self._ledgers()))

    def _ledgers(self) -> list[Path]:
        return sorted(self.spool.glob("date=*/hour=*/_ledger.ndjson")) if self.spool else []


def _table_view(kind: Kind, paths: Sequence[Path]) -> str:
    columns = {name: _SQL_TYPES[dtype] for name, dtype in TABLES[kind].schema.items()}
    if not paths:
        nulls = ", ".join(f"NULL::{dtype} AS {name}" for name, dtype in {**columns, "date": "DATE"}.items())
        return f"CREATE OR REPLACE VIEW {kind} AS SELECT {nulls} WHERE false"
    hive = "hive_partitioning = true, hive_types = {'date': DATE, 'symbol': VARCHAR, 'kind': VARCHAR}"
    return (
        f"CREATE OR REPLACE VIEW {kind} AS SELECT {', '.join(columns)}, date "
        f"FROM read_parquet({_listed(paths)}, {hive})"
    )


def _ledger_view(paths: Sequence[Path]) -> str:
    fields = ", ".join(f"TRY_CAST(json ->> '$.{name}' AS {dtype}) AS {name}" for name, dtype in LEDGER.items())
    without = "{" + ", ".join(f'"{name}": null' for name in LEDGER) + "}"
    source = (
        f"read_json_objects({_listed(paths)}, format = 'newline_delimited', ignore_errors = true)"
        if paths
        else "(SELECT NULL::JSON AS json WHERE false)"
    )
    return (
        f"CREATE OR REPLACE VIEW ledger AS SELECT {fields}, json_merge_patch(json, '{without}') AS rest "
        f"FROM {source} WHERE json_type(json) = 'OBJECT' ORDER BY recv_ns"
    )


def _listed(paths: Sequence[Path]) -> str:
    """Return paths as a SQL list; a view cannot have bound parameters, so quotes are doubled."""
    return "[" + ", ".join("'" + path.as_posix().replace("'", "''") + "'" for path in paths) + "]"
