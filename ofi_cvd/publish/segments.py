"""Imported segments beside the recorder's files: one list of sources, and a segment's rows as the build knows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import polars as pl

from ofi_cvd.features import book, trades
from ofi_cvd.spool.layout import SpoolFile, list_files
from ofi_cvd.spool.ledger import read_ledger
from ofi_cvd.spool.reader import plain_size
from ofi_cvd.spool.segments import (
    BOOK_LEVELS,
    ImportedInput,
    Segment,
    id_column,
    inputs_in_force,
    list_segments,
    parse_segment,
)


@dataclass(frozen=True)
class SegmentFile(SpoolFile):
    """A segment in the place of a file of the recorder: it is immutable, so its size says that it is known."""

    segment: Segment | None = None

    @property
    def name(self) -> str:
        """The file's name; unique within its hour."""
        return self.of.name

    @property
    def folder(self) -> Path:
        """The folder of the hour."""
        return self.of.path.parent

    @property
    def of(self) -> Segment:
        """The segment."""
        assert self.segment is not None  # noqa: S101  # only the base class's fields make a default necessary
        return self.segment


def list_sources(root: Path, symbols: Collection[str], streams: Collection[str]) -> list[SpoolFile]:
    """Return the recorder's files and the segments that count, of some streams, oldest hour first."""
    files = list_files(root, symbols=symbols, streams=streams)
    found = list_segments(root, inputs_in_force(read_ledger(root)), symbols=symbols, streams=streams)
    segments = [SegmentFile(one.symbol, one.stream, one.hour_ms, False, None, one.path, one) for one in found]
    return sorted([*files, *segments], key=lambda file: (file.hour_ms, file.symbol, file.name))


def source_size(file: SpoolFile) -> int:
    """Return the bytes of a source: plain bytes of a recorded file, those on the disk of a segment.

    Raises:
        SpoolError: a sealed file cannot be read.
    """
    return file.of.path.stat().st_size if isinstance(file, SegmentFile) else plain_size(file)


def segment_rows(segment: Segment, levels: int) -> tuple[pl.DataFrame, Counter[str]]:
    """Return a segment's usable rows with the columns of rows that were received, and the others by reason.

    Args:
        segment: the segment.
        levels: of a book source, the levels that carry a weight.

    Raises:
        SpoolError: the segment is damaged.
    """
    is_book = segment.stream in BOOK_LEVELS
    schema = book.rows_schema(levels) if is_book else trades.ROWS
    frame = segment.read().with_columns(
        precedence=pl.lit(segment.precedence, dtype=pl.Int64), from_rest=pl.lit(value=False)
    )
    # Where nobody received a row, its own time decides whether it is plausible.
    received = frame.with_columns(recv_ns=book.receipt_ns(), number_error=pl.lit(None, dtype=pl.String))
    verdict = received.select(reason=book.parse_error(levels) if is_book else trades.parse_error()).to_series()
    counts: Counter[str] = Counter(dict(verdict.drop_nulls().value_counts().iter_rows()))
    return frame.filter(verdict.is_null()).select(schema.names()), counts


def superseded(root: Path, names: Iterable[str], files: Mapping[str, SpoolFile]) -> dict[str, Segment]:
    """Return, of sources `hour_ms/name` that are no longer listed, the segments that a revision took the place of."""
    found = {}
    for name in names:
        segment = parse_segment(root, name) if name not in files else None
        if segment is not None and segment.path.is_file():
            found[name] = segment
    return found


def effective_ledger(records: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """Return the ledger as a build sees it: what import wrote about holes is derived anew from the inputs in force.

    So the order of importing changes nothing: a hole that a later import fills is no hole.
    """
    kept = [one for one in records if not (one.get("event") == "gap" and one.get("conn") == "import")]
    return [*kept, *coverage_gaps(inputs_in_force(records))]


def coverage_gaps(inputs: Iterable[ImportedInput]) -> list[dict[str, object]]:
    """Return a `gap` for each hole between the imported spans of a stream that has no ids to prove it contiguous."""
    spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for one in inputs:
        if id_column(one.stream) == "update_id":
            spans.setdefault((one.symbol, one.stream), []).append((one.start_ms, one.end_ms))
    return [
        {"event": "gap", "symbol": symbol, "stream": stream, "conn": "import", "start_ms": before, "end_ms": after}
        for (symbol, stream), some in sorted(spans.items())
        for before, after in _holes(sorted(some))
    ]


def _holes(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return [(one[1], other[0]) for one, other in pairwise(merged)]
