"""Digests of published rows by hour: the same however the hour is cut into files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from ofi_cvd.common.times import HOUR_MS, hour_of
from ofi_cvd.publish.parts import Part, current_parts
from ofi_cvd.schemas import KINDS, TABLES

_READS = 20


def hour_digests(data_dir: Path, symbols: Iterable[str], start_ms: int, end_ms: int) -> list[dict[str, Any]]:
    """Return rows and SHA-256 of the rows of every published hour, by symbol, table and hour.

    A compaction, which puts the slices of an hour into one file, changes none of them.

    Raises:
        OSError: a part cannot be read.
    """
    return [
        {"symbol": symbol, "kind": kind, "hour_ms": hour_ms, "rows": rows.height, "sha256": digest(rows)}
        for symbol in symbols
        for hour_ms in range(hour_of(start_ms), end_ms, HOUR_MS)
        for kind, rows in _hour(data_dir, symbol, hour_ms)
        if rows.height
    ]


def digest(rows: pl.DataFrame) -> str:
    """Return the SHA-256 of a table's rows: names, nulls and values, column by column."""
    found = hashlib.sha256()
    for stored in rows.get_columns():
        column = stored
        found.update(f"{column.name}:{column.dtype}\n".encode())
        if isinstance(column.dtype, pl.List):
            found.update(column.list.len().fill_null(-1).cast(pl.Int64).to_numpy().tobytes())
            column = column.explode()
        found.update(column.is_null().to_numpy().tobytes())
        if column.dtype == pl.String:
            found.update("\0".join(column.fill_null("").to_list()).encode())
        elif column.dtype == pl.Boolean:
            found.update(column.fill_null(value=False).to_numpy().tobytes())
        else:
            found.update(column.fill_null(0).to_numpy().tobytes())
    return found.hexdigest()


def _hour(data_dir: Path, symbol: str, hour_ms: int) -> Iterator[tuple[str, pl.DataFrame]]:
    for _ in range(_READS):  # a compaction may replace files between listing and reading
        parts = current_parts(data_dir, symbols={symbol}, start_ms=hour_ms, end_ms=hour_ms + HOUR_MS)
        try:
            tables = {kind: _table([part for part in parts if part.kind == kind], kind) for kind in KINDS}
        except FileNotFoundError:
            continue
        yield from tables.items()
        return
    raise OSError(f"{data_dir}: expected files that stay while they are read, found them replaced {_READS} times")


def _table(parts: list[Part], kind: str) -> pl.DataFrame:
    frames = [pl.read_parquet(part.path, hive_partitioning=False) for part in parts]
    rows: pl.DataFrame = pl.concat(frames) if frames else pl.DataFrame()
    return rows.sort(TABLES[kind].order, maintain_order=True) if frames else rows  # type: ignore[index]  # a Kind
