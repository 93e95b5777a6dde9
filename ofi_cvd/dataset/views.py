"""The tables and the ledger as DuckDB views over the files of one moment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from ofi_cvd.publish.parts import Part
from ofi_cvd.schemas import TABLES, Kind

LEDGER: Final = {
    "recv_ns": "BIGINT", "event": "VARCHAR", "symbol": "VARCHAR", "stream": "VARCHAR", "conn": "VARCHAR",
    "expected": "BIGINT", "received": "BIGINT", "missing": "BIGINT", "start_ms": "BIGINT", "end_ms": "BIGINT",
    "offset_ms": "DOUBLE", "rtt_ms": "DOUBLE", "count": "BIGINT",
}  # fmt: skip
_SQL_TYPES: Final[dict[pl.DataType, str]] = {
    pl.Int64(): "BIGINT",
    pl.Float64(): "DOUBLE",
    pl.String(): "VARCHAR",
    pl.Boolean(): "BOOLEAN",
    pl.List(pl.Float64()): "DOUBLE[]",
}


def table_view(kind: Kind, parts: Sequence[Part], window: str = "") -> str:
    """Return the statement that makes the view of one table.

    Args:
        kind: the table, and the view's name.
        parts: its files; without any the view has no rows and the same columns.
        window: a condition on the rows, as SQL; empty for all.
    """
    columns = {name: _SQL_TYPES[dtype] for name, dtype in TABLES[kind].schema.items()}
    if not parts:
        nulls = ", ".join(f"NULL::{dtype} AS {name}" for name, dtype in {**columns, "date": "DATE"}.items())
        return f"CREATE OR REPLACE VIEW {kind} AS SELECT {nulls} WHERE false"
    oldest, newest = (_columns_of(pick(parts, key=lambda part: part.mtime_ns)) for pick in (min, max))
    there = oldest | newest | {"symbol"}
    chosen = [name if name in there else f"NULL::{dtype} AS {name}" for name, dtype in columns.items()]
    options = "hive_partitioning = true, hive_types = {'date': DATE, 'symbol': VARCHAR, 'kind': VARCHAR}"
    if oldest != newest:
        options += ", union_by_name = true"  # parts of an older version lack the columns that came later
    source = f"read_parquet({_listed([part.path for part in parts])}, {options})"
    return (
        f"CREATE OR REPLACE VIEW {kind} AS SELECT {', '.join(chosen)}, date FROM {source}{window and ' WHERE '}{window}"
    )


def ledger_view(paths: Sequence[Path]) -> str:
    """Return the statement that makes the view of the ledger; what is no JSON object is passed over."""
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


def _columns_of(part: Part) -> set[str]:
    return set(pq.read_schema(part.path).names)


def _listed(paths: Sequence[Path]) -> str:
    """Return paths as a SQL list; a view cannot have bound parameters, so quotes are doubled."""
    return "[" + ", ".join("'" + path.as_posix().replace("'", "''") + "'" for path in paths) + "]"
