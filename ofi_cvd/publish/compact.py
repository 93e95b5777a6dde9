"""Merge the slices of hours that are over into one part an hour, while readers keep reading.

See docs/specification/tables.md#slices.

Steps for one hour of one kind; a crash after any of them leaves the dataset whole, and the next run goes on from there:

1. write `hour-….parquet.tmp`, fsync, compare it with its slices: readers do not look at it;
2. rename it to `hour-….parquet`: from this moment readers take it instead of the hour's slices (`ofi_cvd.publish.parts`);
3. remove the slices;
4. rename it to `part-….parquet`, the name of the hour's first slice.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from ofi_cvd.common.files import exclusive, fsync_folder, fsync_path
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import PublishError
from ofi_cvd.publish.checkpoint import BUILD_LOCK
from ofi_cvd.publish.parts import current_parts, hour_name, kind_folders, part_name, start_of
from ofi_cvd.schemas import TABLES, Kind

_WAIT_S: Final = 60.0
_SAME: Final = ("spec_version", "package_version", "params_fingerprint", "parameters", "market")

log = logging.getLogger(__name__)
Step = Callable[[str], None]


@dataclass(frozen=True)
class Compaction:
    """What a run did.

    Attributes:
        merged: hours (of one symbol and kind) that became one file.
        slices: files that went into them.
        finished: hours an earlier run had left half-way.
        mixed: hours left alone because their slices were built with different parameters or versions.
    """

    merged: int = 0
    slices: int = 0
    finished: int = 0
    mixed: int = 0


def compact(
    data_dir: Path,
    *,
    state_dir: Path | None = None,
    symbols: Collection[str] | None = None,
    before_ms: int | None = None,
    step: Step = lambda _: None,
) -> Compaction:
    """Merge every closed hour that still has slices; a second run finds nothing to do.

    An hour is closed when the symbol has a part of a later hour (and, with `before_ms`, when it ended by then).

    Args:
        data_dir: the dataset.
        state_dir: take the lock of builds (`STATE_DIR`) for each hour; without it no build may be at work.
        symbols: only these, by default all.
        before_ms: leave hours that end after this alone.
        step: told the name of each step after it is durable; tests interrupt there.

    Raises:
        LockedError: a build kept the lock for a minute.
        PublishError: a late slice stands beside an hour that is already merged, or a file cannot be read or written.
    """
    merged = slices = mixed = 0
    late: list[Path] = []
    finished = recover(data_dir, state_dir=state_dir, symbols=symbols, step=step)
    newest: dict[str, int] = {}
    hours: set[tuple[Path, str, Kind, int]] = set()
    for part in current_parts(data_dir, symbols=symbols):
        hour_ms = part.start_ms // HOUR_MS * HOUR_MS
        newest[part.symbol] = max(newest.get(part.symbol, 0), hour_ms)
        hours.add((part.path.parent, part.symbol, part.kind, hour_ms))
    for folder, symbol, kind, hour_ms in sorted(hours):
        if hour_ms >= newest[symbol] or (before_ms is not None and hour_ms + HOUR_MS > before_ms):
            continue
        with _build_lock(state_dir):
            paths = _slices(folder, hour_ms)  # listed again: a publisher may have replaced some before the lock
            try:
                metadata = [pl.read_parquet_metadata(path) for path in paths]
                if [facts.get("slice_secs") for facts in metadata] in ([], ["3600"]):
                    continue
                if "3600" in [facts.get("slice_secs") for facts in metadata]:
                    late.append(folder)
                elif any(facts.get(key) != metadata[0].get(key) for facts in metadata for key in _SAME):
                    log.warning("compact.mixed", extra={"folder": str(folder), "hour_ms": hour_ms})
                    mixed += 1
                else:
                    common: dict[str, str] = {key: metadata[0][key] for key in _SAME if key in metadata[0]}
                    _merge(folder, kind, hour_ms, paths, common, step)
                    merged, slices = merged + 1, slices + len(paths)
            except (OSError, pl.exceptions.PolarsError) as error:
                raise PublishError(f"{folder}: expected slices to merge, found {error}") from error
    if late:
        raise PublishError(
            f"{late[0]}: expected the slices of an hour, found slices beside a part of the whole hour "
            f"({len(late)} such); rebuild that hour"
        )
    return Compaction(merged, slices, finished, mixed)


def recover(
    data_dir: Path,
    *,
    state_dir: Path | None = None,
    symbols: Collection[str] | None = None,
    step: Step = lambda _: None,
) -> int:
    """Finish merges that an earlier run left half-way, remove unfinished files; return how many were finished.

    A publisher calls it before it writes, so that no new slice stands in the shadow of a merged hour.
    """
    finished = 0
    for folder, symbol, _ in kind_folders(data_dir):
        if symbols is not None and symbol not in symbols:
            continue
        names = sorted(path.name for path in folder.iterdir() if path.name.startswith("hour-"))
        if not names:
            continue
        with _build_lock(state_dir):
            for name in names:
                hour_ms = start_of(name)
                if hour_ms is None:
                    (folder / name).unlink(missing_ok=True)  # `.tmp`: no reader has seen it
                elif (folder / name).exists():
                    finished += _replace(folder, hour_ms, step)
    return finished


@contextlib.contextmanager
def _build_lock(state_dir: Path | None) -> Iterator[None]:
    if state_dir is None:
        yield
        return
    busy = f"{state_dir}: expected the build to finish, found it at work for {_WAIT_S:g} s"
    with exclusive(state_dir / BUILD_LOCK, busy=busy, wait_s=_WAIT_S):
        yield


def _slices(folder: Path, hour_ms: int) -> list[Path]:
    starts = ((start_of(path.name), path) for path in folder.iterdir() if path.name.startswith("part-"))
    return sorted(path for start, path in starts if start is not None and start // HOUR_MS * HOUR_MS == hour_ms)


def _merge(folder: Path, kind: Kind, hour_ms: int, paths: list[Path], metadata: dict[str, str], step: Step) -> None:
    table = TABLES[kind]
    rows = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in paths])
    rows = rows.sort(table.order, maintain_order=True)  # slices are in order already: this only makes it certain
    unfinished = folder / (hour_name(hour_ms) + ".tmp")
    rows.write_parquet(unfinished, compression="snappy", metadata=metadata | {"slice_secs": "3600"})
    fsync_path(unfinished)
    if not pl.read_parquet(unfinished, hive_partitioning=False).equals(rows):
        unfinished.unlink()
        raise PublishError(f"{unfinished}: expected the {rows.height} rows that were written, found others")
    step("written")
    unfinished.replace(folder / hour_name(hour_ms))
    fsync_folder(folder)
    step("visible")
    _replace(folder, hour_ms, step)


def _replace(folder: Path, hour_ms: int, step: Step) -> bool:
    """Remove the slices of an hour that has a merged file and give that file its final name."""
    with contextlib.suppress(PermissionError):  # Windows, a reader holds a file: the merged one serves until next time
        for path in _slices(folder, hour_ms):
            path.unlink()
            step("removed")
        fsync_folder(folder)
        (folder / hour_name(hour_ms)).replace(folder / part_name(hour_ms))
        fsync_folder(folder)
        step("renamed")
        return True
    return False
