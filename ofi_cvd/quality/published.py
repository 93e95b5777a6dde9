"""What should be stored: the slices that the checkpoint says were published, or the files where there is none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.dataset.reader import Dataset
from ofi_cvd.publish import checkpoint
from ofi_cvd.quality.window import Window
from ofi_cvd.schemas import KINDS, Kind


@dataclass(frozen=True)
class PublishedSlice:
    """Rows of one table in `[start_ms, end_ms)` of one symbol."""

    symbol: str
    kind: Kind
    start_ms: int
    end_ms: int
    rows: int


@dataclass(frozen=True)
class Published:
    """The slices of a window.

    Attributes:
        origin: where they are known from; without a checkpoint a slice that left no file counts as missing.
        params_fingerprint: of the parameters they were built with; None if unknown.
    """

    slices: tuple[PublishedSlice, ...]
    origin: Literal["checkpoint", "files"]
    params_fingerprint: str | None

    def values(self) -> dict[str, object]:
        """Return the parameters `$published_*` and `$bucket_ms` of `sql/`."""
        lengths = [part.end_ms - part.start_ms for part in self.slices] + [part.start_ms for part in self.slices]
        return {
            "published_symbols": [part.symbol for part in self.slices],
            "published_kinds": [part.kind for part in self.slices],
            "published_starts": [part.start_ms for part in self.slices],
            "published_ends": [part.end_ms for part in self.slices],
            "published_rows": [part.rows for part in self.slices],
            "bucket_ms": math.gcd(HOUR_MS, *lengths),
        }


def published_slices(dataset: Dataset, state_dir: Path, window: Window) -> Published:
    """Return the published slices that overlap the window.

    Raises:
        PublishError: the checkpoint is there and cannot be read.
    """
    known = checkpoint.load(state_dir)
    if known is None:
        found, fingerprint = _found(dataset)
        return Published(tuple(part for part in found if _overlaps(part, window)), "files", fingerprint)
    slices = tuple(part for part in _told(known, window) if _overlaps(part, window))
    return Published(slices, "checkpoint", known.params_fingerprint)


def _overlaps(part: PublishedSlice, window: Window) -> bool:
    return part.symbol in window.symbols and part.end_ms > window.start_ms and part.start_ms < window.end_ms


def _told(known: checkpoint.Checkpoint, window: Window) -> Iterator[PublishedSlice]:
    for symbol, owner in known.symbols.items():
        for hour_ms, hour in owner.hours.items():
            if not window.start_ms - HOUR_MS < hour_ms < window.end_ms:
                continue
            for start_ms, told in hour.slices.items():
                for kind in KINDS:
                    yield PublishedSlice(symbol, kind, start_ms, told.end_ms, told.rows.get(kind, 0))


def _found(dataset: Dataset) -> tuple[list[PublishedSlice], str | None]:
    """Return slices as their files tell of them, and the fingerprint if all agree."""
    slices: list[PublishedSlice] = []
    fingerprints: set[str | None] = set()
    for part in dataset.parts():
        metadata = pl.read_parquet_metadata(part.path)
        rows = int(pl.scan_parquet(part.path, hive_partitioning=False).select(pl.len()).collect().item())
        length_ms = int(metadata.get("slice_secs", "3600")) * 1000
        fingerprints.add(metadata.get("params_fingerprint"))
        slices.append(PublishedSlice(part.symbol, part.kind, part.start_ms, part.start_ms + length_ms, rows))
    return slices, fingerprints.pop() if len(fingerprints) == 1 else None
