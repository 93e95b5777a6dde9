"""A dataset of many slices read as one of few files: hours are merged into a folder of the moment, one at a time.

A query engine keeps something of every file that a query names; a hundred thousand slices would cost gigabytes. Reading
them once, an hour of one symbol and table at a time, costs what an hour costs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import polars as pl

from ofi_cvd.common.times import HOUR_MS, hour_of
from ofi_cvd.dataset.reader import Dataset
from ofi_cvd.errors import RunError
from ofi_cvd.publish.parts import Part, folder_of, part_name
from ofi_cvd.schemas import TABLES, Kind

MANY: Final = 4000  # so many parts are read as they are
_READS: Final = 50
_Hour = tuple[str, Kind, int]


@contextmanager
def few_files(dataset: Dataset, many: int = MANY) -> Iterator[Dataset]:
    """Yield the dataset, or a merged copy of it while it has more than `many` parts; the copy is removed at the end.

    Raises:
        RunError: files kept being replaced while they were read.
    """
    if len(dataset.parts()) <= many:
        yield dataset
        return
    with tempfile.TemporaryDirectory(prefix="ofi-dq-") as folder:
        merge_hours(dataset, Path(folder))
        with Dataset(Path(folder), dataset.spool) as merged:
            yield merged


def merge_hours(dataset: Dataset, folder: Path) -> None:
    """Write every hour of `dataset` as one part per symbol and table below `folder`; what was replaced is read again.

    Raises:
        RunError: files kept being replaced while they were read.
    """
    merged: dict[_Hour, set[Part]] = {}
    for _ in range(_READS):
        current = _hours(dataset)
        if current == merged:
            return
        for hour, parts in current.items():
            if merged.get(hour) != parts and _write(hour, parts, folder):
                merged[hour] = parts
        merged = {hour: parts for hour, parts in merged.items() if hour in current}
    raise RunError(f"{dataset.path}: expected files that stay for one reading, found them replaced {_READS} times")


def _hours(dataset: Dataset) -> dict[_Hour, set[Part]]:
    found: dict[_Hour, set[Part]] = {}
    for part in dataset.parts():
        found.setdefault((part.symbol, part.kind, hour_of(part.start_ms)), set()).add(part)
    return found


def _write(hour: _Hour, parts: set[Part], folder: Path) -> bool:
    """Merge one hour; false if a file was gone by then."""
    symbol, kind, hour_ms = hour
    try:
        frames = [pl.read_parquet(part.path, hive_partitioning=False) for part in sorted(parts)]
    except FileNotFoundError:
        return False
    rows = pl.concat(frames, how="diagonal").sort(TABLES[kind].order, maintain_order=True)
    target = folder_of(folder, symbol, kind, hour_ms)
    target.mkdir(parents=True, exist_ok=True)
    metadata = {"slice_secs": str(HOUR_MS // 1000)}
    rows.write_parquet(target / part_name(hour_ms), compression="lz4", metadata=metadata)
    return True
