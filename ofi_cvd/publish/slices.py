"""Cuts the tables of an hour into slices and publishes those that are new or changed (docs/specification/tables.md)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ofi_cvd import __version__
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import PublishError
from ofi_cvd.publish import parts
from ofi_cvd.publish.checkpoint import HourEntry, Slice, write_whole
from ofi_cvd.schemas import KINDS, SPEC_VERSION, Kind
from ofi_cvd.settings import Settings


@dataclass(frozen=True)
class Window:
    """Which slices may be published: whole ones within `[start_ms, end_ms)`; None is without bound."""

    start_ms: int | None = None
    end_ms: int | None = None

    def overlaps(self, start_ms: int, end_ms: int) -> bool:
        """Return whether `[start_ms, end_ms)` and the window share an instant."""
        return (self.end_ms is None or start_ms < self.end_ms) and (self.start_ms is None or end_ms > self.start_ms)

    def has(self, start_ms: int, end_ms: int) -> bool:
        """Return whether the slice `[start_ms, end_ms)` lies in the window."""
        return (self.start_ms is None or start_ms >= self.start_ms) and (self.end_ms is None or end_ms <= self.end_ms)


def metadata(settings: Settings, slice_secs: int) -> dict[str, str]:
    """Return the key-value metadata of every part (docs/specification/tables.md)."""
    return {
        "spec_version": SPEC_VERSION,
        "package_version": __version__,
        "params_fingerprint": settings.fingerprint(),
        "parameters": settings.canonical_parameters(),
        "market": settings.market,
        "slice_secs": str(slice_secs),
    }


def publish_hour(
    tables: Mapping[Kind, pl.DataFrame],
    *,
    data_dir: Path,
    symbol: str,
    hour_ms: int,
    slice_secs: int,
    starts: Sequence[int],
    known: HourEntry,
    facts: Mapping[str, str],
) -> dict[int, Slice]:
    """Publish the slices of an hour that begin at `starts`, and those published before; return them all.

    A slice whose part holds these very bytes is left alone. Parts of the hour that belong to no slice (an earlier,
    finer cutting, or rows that are gone) are removed last.

    Raises:
        PublishError: a file cannot be written.
    """
    step = slice_secs * 1000
    slices: dict[int, Slice] = {}
    for start in sorted({*starts, *_covering(known.slices, range(hour_ms, hour_ms + HOUR_MS, step), step)}):
        fresh = Slice(start + step)
        for kind, table in tables.items():
            rows = (
                table
                if step == HOUR_MS
                else table.filter(pl.col("ts_ms").is_between(start, start + step, closed="left"))
            )
            if rows.is_empty():
                continue
            data = _parquet(rows, facts)
            fresh.rows[kind], fresh.digests[kind] = rows.height, hashlib.sha256(data).hexdigest()
            _put(parts.folder_of(data_dir, symbol, kind, start), start, data, is_hour=step == HOUR_MS)
        slices[start] = fresh
    if slices:
        _remove_strays(data_dir, symbol, hour_ms, slices)
    return slices


def _covering(published: Mapping[int, Slice], starts: Sequence[int], step: int) -> list[int]:
    """Return the starts of slices that share an instant with a published one: rows once published are kept current."""
    return [at for at in starts if any(at < one.end_ms and start < at + step for start, one in published.items())]


def remove_unknown_hours(data_dir: Path, symbol: str, hours: Collection[int]) -> None:
    """Remove the parts of a symbol that lie in no hour the spool has (after a rebuild of everything)."""
    for folder, owner, _ in parts.kind_folders(data_dir):
        for path in list(folder.iterdir()) if owner == symbol else []:
            start = parts.start_of(path.name)
            if start is not None and start // HOUR_MS * HOUR_MS not in hours:
                path.unlink()


def are_published(known: HourEntry, data_dir: Path, symbol: str, hour_ms: int) -> bool:
    """Return whether the hour's rows still stand in the dataset, as slices or compacted into one part an hour."""
    return _are_there(known.slices, data_dir, symbol) or is_compacted(known, data_dir, symbol, hour_ms)


def is_compacted(known: HourEntry, data_dir: Path, symbol: str, hour_ms: int) -> bool:
    """Return whether the hour's slices have become one part, which only a whole hour may replace.

    The part of the hour has the name of its first slice, so it is asked what it is.
    """
    if known.slice_secs * 1000 == HOUR_MS or not known.slices or _are_there(known.slices, data_dir, symbol):
        return False
    kinds = {kind for one in known.slices.values() for kind in one.rows}
    return all(
        _is_of_whole_hour(parts.folder_of(data_dir, symbol, kind, hour_ms) / parts.part_name(hour_ms)) for kind in kinds
    )


def _is_of_whole_hour(path: Path) -> bool:
    try:
        return pl.read_parquet_metadata(path).get("slice_secs") == "3600"
    except (OSError, pl.exceptions.PolarsError):
        return False


def _are_there(slices: Mapping[int, Slice], data_dir: Path, symbol: str) -> bool:
    """Return whether every published part still stands under its own name (compaction takes them away)."""
    return all(
        (parts.folder_of(data_dir, symbol, kind, start) / parts.part_name(start)).is_file()
        for start, one in slices.items()
        for kind in one.rows
    )


def _put(folder: Path, start_ms: int, data: bytes, *, is_hour: bool) -> None:
    """Write a part that is not there yet; a whole hour that replaces slices takes the name that readers prefer first."""
    name = parts.part_name(start_ms)
    if _holds(folder / name, data) and not (folder / parts.hour_name(start_ms // HOUR_MS * HOUR_MS)).is_file():
        return
    replaces = (
        is_hour
        and folder.is_dir()
        and any(_is_of_hour(path, start_ms) for path in folder.iterdir() if path.name != name)
    )
    write_whole(folder / (parts.hour_name(start_ms) if replaces else name), data)


def _holds(path: Path, data: bytes) -> bool:
    """Return whether a file has these bytes: the checkpoint may be older than what a killed build has written."""
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except FileNotFoundError:
        return False
    except OSError as error:
        raise PublishError(f"{path}: could not be read ({error.strerror or error})") from None


def _is_of_hour(path: Path, hour_ms: int) -> bool:
    start = parts.start_of(path.name)
    return start is not None and hour_ms <= start < hour_ms + HOUR_MS


def _parquet(rows: pl.DataFrame, facts: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    rows.write_parquet(out, compression="snappy", metadata=dict(facts))
    return out.getvalue()


def _remove_strays(data_dir: Path, symbol: str, hour_ms: int, slices: Mapping[int, Slice]) -> None:
    """Remove the hour's parts that no slice names, then give a replacing hour its lasting name."""
    for kind in KINDS:
        folder = parts.folder_of(data_dir, symbol, kind, hour_ms)
        if not folder.is_dir():
            continue
        replacing = folder / parts.hour_name(hour_ms)
        named = {parts.part_name(start) for start, one in slices.items() if kind in one.rows}
        is_whole = any(one.end_ms - start == HOUR_MS and kind in one.rows for start, one in slices.items())
        try:
            for path in folder.glob(".*.tmp"):  # of a process that was killed: the lock of builds is ours
                path.unlink(missing_ok=True)
            for path in [path for path in folder.iterdir() if _is_of_hour(path, hour_ms)]:
                if path != replacing and (path.name not in named or (is_whole and replacing.is_file())):
                    path.unlink()
            if replacing.is_file() and is_whole:
                replacing.replace(folder / parts.part_name(hour_ms))
            elif replacing.is_file():
                replacing.unlink()
        except OSError as error:
            raise PublishError(f"{folder}: could not be tidied ({error.strerror or error})") from None
