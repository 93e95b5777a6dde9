"""What a revised file changed: its rows against those of the file it replaces, by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ofi_cvd.spool.segments import ImportedInput, Segment, id_column, list_segments


@dataclass(frozen=True)
class Changes:
    """Ids that only the new file has, that only the old one had, and whose content differs."""

    added: int = 0
    removed: int = 0
    changed: int = 0


def compare_revisions(root: Path, old: Sequence[ImportedInput], new: ImportedInput) -> Changes:
    """Return how a new input differs from those it supersedes.

    Raises:
        SpoolError: a segment is damaged.
    """
    before, after = _by_hour(root, old), _by_hour(root, [new])
    totals = [0, 0, 0]
    for hour_ms in sorted(before.keys() | after.keys()):
        one = _compare(before.get(hour_ms, []), after.get(hour_ms, []), new.stream)
        totals = [total + count for total, count in zip(totals, one, strict=True)]
    return Changes(*totals)


def _by_hour(root: Path, inputs: Sequence[ImportedInput]) -> dict[int, list[Segment]]:
    found: dict[int, list[Segment]] = {}
    for segment in list_segments(root, inputs):
        found.setdefault(segment.hour_ms, []).append(segment)
    return found


def _compare(old: Sequence[Segment], new: Sequence[Segment], stream: str) -> tuple[int, int, int]:
    key = id_column(stream)
    frames = [pl.concat([one.read() for one in some]) if some else None for some in (old, new)]
    before, after = (
        None if frame is None else frame.unique(key, keep="first", maintain_order=True) for frame in frames
    )
    if before is None or after is None:
        return (0 if after is None else len(after), 0 if before is None else len(before), 0)
    values = [name for name in before.columns if name not in {key, "file_row", "recv_ns"}]
    both = before.join(after, on=key, suffix="_new")
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_new")) for name in values)
    return len(after) - len(both), len(before) - len(both), len(both.filter(differs))
