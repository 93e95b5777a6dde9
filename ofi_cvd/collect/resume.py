"""Where the last recording stopped: the newest ids and receipts on the disk, and holes the ledger still calls open."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec

from ofi_cvd.binance.keys import Id, Key, key_reader
from ofi_cvd.spool.hours import HOUR_MS, SpoolFile, list_files
from ofi_cvd.spool.ledger import read_ledger
from ofi_cvd.spool.reader import plain_size, read_lines

TAIL_BYTES = 8 * 1024 * 1024
ENOUGH_KEYS = 5000
CUT_MARGIN = 1000
OPEN_HOLES_MS = 48 * HOUR_MS  # what is older the venue no longer gives (PROTOCOL 1.7)

Range = tuple[int, int]


@dataclass(frozen=True)
class Tail:
    """The end of one stream on the disk.

    Attributes:
        last: the newest id; None if there is nothing.
        last_ns: the newest receipt; 0 if there is nothing.
        recent: the newest keys, oldest first.
        holes: trade ids missing before `last`, as inclusive ranges.
    """

    last: int | None
    last_ns: int
    recent: tuple[Id, ...]
    holes: tuple[Range, ...]


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
    keys, last_ns, cut = _newest_keys([file for file in files if not file.repair], key_reader(stream, market))
    if not keys:
        return Tail(None, 0, (), ())
    numbers = [key.number for key in keys]
    if stream not in ("aggTrade", "trade"):
        return Tail(max(numbers), last_ns, tuple(key.id for key in keys[-keep:]), ())
    seen = sorted({*numbers, *_repaired_ids(files, min(numbers))})
    gaps, given_up = _ledger_holes(root, symbol, stream, now_ms)
    # Near the cut an id that came out of order may stand in the part that was not read.
    trusted = seen[CUT_MARGIN:] if cut else seen
    holes = _subtract(merged([*_holes(trusted), *gaps]), given_up)
    missing = [part for hole in holes for part in _unseen(hole, seen)]
    return Tail(seen[-1], last_ns, tuple(seen[-keep:]), tuple(missing))


def _newest_keys(files: list[SpoolFile], read: Callable[[bytes], Key]) -> tuple[list[Key], int, bool]:
    """Return the last keys on the disk in order of receipt, the newest receipt, and whether older ones were left."""
    keys: list[Key] = []
    last_ns, cut = 0, False
    for file in reversed(files):
        part: list[Key] = []
        offset = max(0, plain_size(file) - TAIL_BYTES)
        for line in read_lines(file, offset):  # where it is cut, the first is part of a line and does not parse
            try:
                part.append(read(line))
                last_ns = max(last_ns, _RECEIPT.decode(line).recv_ns)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # torn by a crash: its id was never seen
        keys = part + keys
        cut = offset > 0
        if cut or len(keys) >= ENOUGH_KEYS:
            break
    return keys, last_ns, cut


def _ledger_holes(root: Path, symbol: str, stream: str, now_ms: int) -> tuple[list[Range], list[Range]]:
    """Return the ranges that the ledger calls gaps and not settled, and those it gave up."""
    ranges: dict[str, list[Range]] = {"gap": [], "repaired": [], "unrepairable": []}
    for row in read_ledger(root, now_ms - OPEN_HOLES_MS):
        kind = row.get("event")
        if row.get("symbol") == symbol and row.get("stream") == stream and isinstance(kind, str) and kind in ranges:
            ranges[kind] += _bounds(row)
    given_up = merged(ranges["unrepairable"])
    return _subtract(merged(ranges["gap"]), merged([*ranges["repaired"], *given_up])), given_up


def _bounds(row: Mapping[str, object]) -> list[Range]:
    expected, received = row.get("expected"), row.get("received")
    if isinstance(expected, int) and isinstance(received, int) and received > expected:
        return [(expected, received - 1)]
    return []


def _repaired_ids(files: Iterable[SpoolFile], from_id: int) -> Iterator[int]:
    read = key_reader("aggTrade", "usdm")
    for file in [file for file in files if file.repair][-3:]:
        for line in read_lines(file, max(0, plain_size(file) - TAIL_BYTES)):
            try:
                number = read(line).number
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if number >= from_id:
                yield number


def _holes(ids: list[int]) -> Iterator[Range]:
    for before, after in pairwise(ids):
        if after > before + 1:
            yield before + 1, after - 1


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Return inclusive ranges sorted, with those that overlap or touch made one."""
    out: list[Range] = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], last))
        else:
            out.append((first, last))
    return out


def _unseen(hole: Range, seen: list[int]) -> list[Range]:
    """Return what of a range is not among the sorted ids `seen`."""
    found = seen[bisect_left(seen, hole[0]) : bisect_right(seen, hole[1])]
    return _subtract([hole], merged((number, number) for number in found))


def _subtract(ranges: list[Range], taken: list[Range]) -> list[Range]:
    left = []
    for first, last in ranges:
        for low, high in taken:
            if high < first or low > last:
                continue
            if low > first:
                left.append((first, low - 1))
            first = high + 1  # noqa: PLW2901  # the rest of this range
            if first > last:
                break
        if first <= last:
            left.append((first, last))
    return left
