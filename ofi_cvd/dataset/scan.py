"""A table as a lazy frame that finds its files when it is collected, not when it is made.

`ofi compact` and a running build replace files by others with the same rows. A frame made before that reads the files of
the moment it is collected. It reads one day of a symbol after the other; if a file of that day is replaced meanwhile, the
day is read again before any of its rows is handed on, so no row is seen twice or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import polars as pl
from polars.io.plugins import register_io_source

from ofi_cvd.errors import RunError
from ofi_cvd.publish.parts import Part

HIVE: Final = {"date": pl.Date(), "symbol": pl.String(), "kind": pl.String()}
_READS: Final = 20

Listing = Callable[[], list[Part]]


def scan_table(listing: Listing, schema: pl.Schema, window: pl.Expr | None) -> pl.LazyFrame:
    """Return the rows of the parts that `listing` names at the moment of collection, in path order.

    Args:
        listing: returns the parts of one table.
        schema: the columns of the frame; one that older parts do not have is null there.
        window: which rows belong to the frame; None for all.
    """

    def read(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch: int | None
    ) -> Iterator[pl.DataFrame]:
        left = n_rows
        for folder, parts in groupby(listing(), key=lambda part: part.path.parent):
            rows = _read_folder(folder, list(parts), listing, _plan(schema, window, with_columns, predicate, left))
            left = None if left is None else left - rows.height
            yield rows
            if left is not None and left <= 0:
                return

    return register_io_source(read, schema=schema, explain_name="ofi_cvd dataset")


def _plan(
    schema: pl.Schema,
    window: pl.Expr | None,
    with_columns: list[str] | None,
    predicate: pl.Expr | None,
    n_rows: int | None,
) -> Callable[[Sequence[Part]], pl.LazyFrame]:
    """Return what Polars asked of the source as a function of the files."""

    def plan(parts: Sequence[Part]) -> pl.LazyFrame:
        rows = scan_parts([part.path for part in parts], schema)
        if window is not None:
            rows = rows.filter(window)
        if predicate is not None:
            rows = rows.filter(predicate)
        if with_columns is not None:
            rows = rows.select(with_columns)
        return rows if n_rows is None else rows.head(n_rows)

    return plan


def _read_folder(
    folder: Path, parts: list[Part], listing: Listing, plan: Callable[[Sequence[Part]], pl.LazyFrame]
) -> pl.DataFrame:
    """Return what the plan makes of one folder's parts; again where a part was replaced while it was read."""
    for _ in range(_READS):
        try:
            return plan(parts).collect()
        except (OSError, pl.exceptions.ComputeError):
            current = [part for part in listing() if part.path.parent == folder]
            if current == parts:
                raise
            parts = current
    raise RunError(
        f"{folder}: expected files that stay for one read, found them replaced {_READS} times; "
        f"collect again once `ofi compact` or `ofi build` is done"
    )


def scan_parts(paths: Sequence[Path], schema: pl.Schema) -> pl.LazyFrame:
    """Return the rows of these files as a plain Polars scan, in the columns of `schema`; without files, no rows."""
    if not paths:
        return pl.LazyFrame(schema=schema)
    own: Mapping[str, pl.DataType] = {name: dtype for name, dtype in schema.items() if name != "date"}
    return pl.scan_parquet(
        list(paths),
        schema=dict(own),
        hive_partitioning=True,
        hive_schema=HIVE,
        missing_columns="insert",
        extra_columns="ignore",
    ).select(schema.names())
