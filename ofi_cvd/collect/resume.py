"""Where the last recording stopped: the newest ids and receipts on the disk, and holes the ledger still calls open."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from ofi_cvd.binance.keys import Id, Key, key_reader
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.spool.hours import SpoolFile, list_files
from ofi_cvd.spool.ledger import read_ledger
from ofi_cvd.spool.reader import plain_size, read_lines

TAIL_BYTES = 8 * 1024 * 1024
ENOUGH_KEYS = 5000
CUT_MARGIN = 1000
OPEN_HOLES_MS = 48 * HOUR_MS  # what is older the venue no longer gives (PROTOCOL 1.7)

Range = tuple[int, int]


class OpenHole(NamedTuple):
    """Ids `first..last` that nobody stored, between two receipts in ns."""

    first: int
    last: int
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class Tail:
    """The end of one stream on the disk.

    Attributes:
        last: the newest id; None if there is nothing.
        last_ns: the newest receipt; 0 if there is nothing.
        recent: the newest keys, oldest first.
        holes: trade ids missing before `last`.
    """

    last: int | None
    last_ns: int
    recent: tuple[Id, ...]
    holes: tuple[OpenHole, ...]


class _Receipt(msgspec.Struct):
    recv_ns: int


_RECEIPT = msgspec.json.Decoder(_Receipt)


def find_tail(root: Path, symbol: str, stream: str, market: str, keep: int, now_ms: int) -> Tail:
    """Read the end of a stream: the newest hour that has lines, and for trades the repairs beside it.

    Args:
        root: the spool.
        symbol: upper case.
        stream: the name after `@`.
        market: `usdm` or `spot`.
        keep: how many keys to keep.
        now_ms: the time, which decides how far back open holes are looked for.
    """
    files = list_files(root, symbols=[symbol], streams=[stream])
    keys, receipts, cut = _newest([file for file in files if not file.repair], key_reader(stream, market))
    if not keys:
        return Tail(None, 0, (), ())
    numbers = [key.number for key in keys]
    if stream not in ("aggTrade", "trade"):
        return Tail(max(numbers), max(receipts), tuple(key.id for key in keys[-keep:]), ())
    gaps, given_up = _ledger_holes(root, symbol, stream, now_ms)
    oldest = min([min(numbers), *(gap.first for gap in gaps)])
    seen = sorted({*numbers, *_repaired_ids(files, oldest, now_ms)})
    # Near the cut an id that came out of order may stand in the part that was not read.
    trusted = seen[bisect_left(seen, min(numbers)) + (CUT_MARGIN if cut else 0) :]
    when = dict(zip(numbers, receipts, strict=True))
    found = [
        OpenHole(before + 1, after - 1, when.get(before, min(receipts)), when.get(after, max(receipts)))
        for before, after in pairwise(trusted)
        if after > before + 1
    ]
    known = merged((gap.first, gap.last) for gap in gaps)
    holes = [*gaps, *(part for hole in found for part in _less(hole, known))]
    missing = [part for hole in holes for part in _less(hole, given_up)]
    missing = [part for hole in missing for part in _less(hole, _ids_between(seen, hole.first, hole.last))]
    return Tail(seen[-1], max(receipts), tuple(seen[-keep:]), tuple(sorted(missing)))


def _newest(files: list[SpoolFile], read: Callable[[bytes], Key]) -> tuple[list[Key], list[int], bool]:
    """Return the last keys on the disk and their receipts, in order, and whether older ones were left."""
    keys: list[Key] = []
    receipts: list[int] = []
    cut = False
    for file in reversed(files):
        found: list[tuple[Key, int]] = []
        offset = max(0, plain_size(file) - TAIL_BYTES)
        for line in read_lines(file, offset):  # where it is cut, the first is part of a line and does not parse
            try:
                found.append((read(line), _RECEIPT.decode(line).recv_ns))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # torn by a crash: its id was never seen
        keys = [key for key, _ in found] + keys
        receipts = [recv_ns for _, recv_ns in found] + receipts
        cut = offset > 0
        if cut or len(keys) >= ENOUGH_KEYS:
            break
    return keys, receipts, cut


def _ledger_holes(root: Path, symbol: str, stream: str, now_ms: int) -> tuple[list[OpenHole], list[Range]]:
    """Return what the ledger calls gaps and not settled, and the ranges it gave up."""
    gaps: list[OpenHole] = []
    settled: dict[str, list[Range]] = {"repaired": [], "unrepairable": []}
    for row in read_ledger(root, now_ms - OPEN_HOLES_MS):
        kind, bounds = row.get("event"), _bounds(row)
        if bounds is None or row.get("symbol") != symbol or row.get("stream") != stream:
            continue
        if kind == "gap":
            gaps.append(OpenHole(*bounds, *(_ns(row.get(end)) for end in ("start_ms", "end_ms"))))
        elif isinstance(kind, str) and kind in settled:
            settled[kind].append(bounds)
    given_up = merged(settled["unrepairable"])
    done = merged([*settled["repaired"], *given_up])
    open_gaps: list[OpenHole] = []
    for gap in gaps:  # a gap may have been noted again by a later run
        open_gaps += _less(gap, merged([*done, *((other.first, other.last) for other in open_gaps)]))
    return open_gaps, given_up


def _ns(ms: object) -> int:
    return ms * 1_000_000 if isinstance(ms, int) else 0


def _bounds(row: Mapping[str, object]) -> Range | None:
    expected, received = row.get("expected"), row.get("received")
    if isinstance(expected, int) and isinstance(received, int) and received > expected:
        return expected, received - 1
    return None


def _repaired_ids(files: Iterable[SpoolFile], from_id: int, now_ms: int) -> Iterator[int]:
    """Yield the ids in repair files: a crash may have come between a repair and the record of it."""
    read = key_reader("aggTrade", "usdm")
    for file in files:
        if not file.repair or file.hour_ms < now_ms - OPEN_HOLES_MS:
            continue
        for line in read_lines(file):
            try:
                number = read(line).number
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if number >= from_id:
                yield number


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Return inclusive ranges sorted, with those that overlap or touch made one."""
    out: list[Range] = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], last))
        else:
            out.append((first, last))
    return out


def _ids_between(ids: list[int], first: int, last: int) -> list[Range]:
    """Return the ranges that the sorted `ids` form within `first..last`."""
    return merged((number, number) for number in ids[bisect_left(ids, first) : bisect_right(ids, last)])


def _less(hole: OpenHole, taken: list[Range]) -> list[OpenHole]:
    """Return what is left of a hole without the sorted ranges `taken`."""
    left = []
    first = hole.first
    for low, high in taken:
        if high < first or low > hole.last:
            continue
        if low > first:
            left.append(hole._replace(first=first, last=low - 1))
        first = high + 1
    if first <= hole.last:
        left.append(hole._replace(first=first))
    return left
