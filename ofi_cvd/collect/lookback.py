"""What earlier recordings left open: trade gaps that nobody filled, and gaps of books that a crash kept from the ledger.

Runs beside the recording. The ledger is read once for all streams, and ranges are subtracted in one sweep: an outage
may leave thousands of records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from ofi_cvd.binance.keys import key_reader
from ofi_cvd.collect.actions import StreamKey
from ofi_cvd.collect.arrivals import SequenceBreak
from ofi_cvd.collect.coverage import OVERLAP_S
from ofi_cvd.collect.id_gaps import IdGap, Range, merged
from ofi_cvd.collect.resume import FULL_BYTES, Tail, TailLine, find_tail, read_keys
from ofi_cvd.collect.stats import StreamStats
from ofi_cvd.collect.stream_state import StreamState
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.spool.layout import find_file, list_hours
from ofi_cvd.spool.ledger import read_ledger_file

HORIZON_MS = 48 * HOUR_MS  # what is older the exchange no longer gives
CRASH_NS = round((OVERLAP_S + 1.0) * 1e9)  # a gap this close to the end may not have reached the ledger
NS = 1_000_000


@dataclass
class StreamRecords:
    """What the ledger says of one stream."""

    gaps: list[IdGap] = field(default_factory=list)
    repaired: list[Range] = field(default_factory=list)
    given_up: list[Range] = field(default_factory=list)
    break_ends_ms: set[int] = field(default_factory=set)


def read_records(root: Path, now_ms: int) -> tuple[list[int], dict[StreamKey, StreamRecords]]:
    """Return the spool's hours, oldest first, and what the ledger of the last 48 of them says by stream."""
    hours = list_hours(root)
    found: dict[StreamKey, StreamRecords] = {}
    for hour_ms, folder in hours:
        if hour_ms + HOUR_MS > now_ms - HORIZON_MS:
            for row in read_ledger_file(folder):
                symbol, stream = row.get("symbol"), row.get("stream")
                if isinstance(symbol, str) and isinstance(stream, str):
                    _take(found.setdefault((symbol, stream), StreamRecords()), row)
    return [hour_ms for hour_ms, _ in hours], found


def open_gaps(
    root: Path, hours_ms: Sequence[int], key: StreamKey, market: str, records: StreamRecords, now_ms: int
) -> list[IdGap]:
    """Return the trade ids that are missing on the disk: what the ledger calls gaps, and what a crash left unsaid.

    What was given up is asked for again while the exchange may still have it, save where it never gives single trades.
    """
    symbol, stream = key
    tail = find_tail(root, hours_ms, symbol, stream, market, FULL_BYTES)
    known = merged((gap.first, gap.last) for gap in records.gaps)
    unsaid = _subtract(_jumps(key, tail.lines), known)
    done = records.repaired + (records.given_up if stream != "aggTrade" else [])
    left = _subtract([*records.gaps, *unsaid], merged(done))
    if not left:
        return []
    seen = {line.key.number for line in tail.lines}
    seen.update(_repaired_ids(root, hours_ms, key, now_ms))
    return _subtract(left, merged((number, number) for number in seen))


def unsaid_breaks(tail: Tail, records: StreamRecords, *, is_chained: bool) -> list[SequenceBreak]:
    """Return the gaps of a book just before the end of a recording that the ledger does not know.

    A crash may come between a frame and the judgement that an earlier one is missing. Where ids chain, the chain
    decides; where they do not, a connection that began just before the end is taken to have left a gap.
    """
    if not tail.lines:
        return []
    newest_ns = max(line.recv_ns for line in tail.lines)
    pairs = _broken_chain(tail.lines) if is_chained else _new_connections(tail.lines)
    return [
        SequenceBreak(before.key.number if is_chained else None, after.key.previous, before.recv_ns, after.recv_ns, 0.0)
        for before, after in pairs
        if after.recv_ns >= newest_ns - CRASH_NS and after.recv_ns // NS not in records.break_ends_ms
    ]


def _broken_chain(lines: Sequence[TailLine]) -> list[tuple[TailLine, TailLine]]:
    order = sorted({line.key.number: line for line in reversed(lines)}.values(), key=lambda line: line.key.number)
    return [(before, after) for before, after in pairwise(order) if after.key.previous != before.key.number]


def _new_connections(lines: Sequence[TailLine]) -> list[tuple[TailLine, TailLine]]:
    known = {lines[0].conn}
    pairs = []
    for before, after in pairwise(lines):
        if after.conn not in known:
            known.add(after.conn)
            pairs.append((before, after))
    return pairs


def _jumps(key: StreamKey, lines: Sequence[TailLine]) -> list[IdGap]:
    """Return the ids missing between stored ones, by the rules of a live stream."""
    state = StreamState(*key, max(1, len(lines)), StreamStats())
    for line in lines:
        state.accept(line.key, line.recv_ns, 0.0)
    return list(state.id_gaps)


def _take(records: StreamRecords, row: Mapping[str, object]) -> None:
    event, bounds = row.get("event"), _bounds(row)
    if event == "gap" and isinstance(end_ms := row.get("end_ms"), int):
        records.break_ends_ms.add(end_ms)
    if bounds is None:
        return
    if event == "gap" and row.get("missing") is not None:
        start_ns, end_ns = (_ns(row.get(end)) for end in ("start_ms", "end_ms"))
        records.gaps.append(IdGap(*bounds, start_ns, end_ns, reported=True))
    elif event == "repaired":
        records.repaired.append(bounds)
    elif event == "unrepairable":
        records.given_up.append(bounds)


def _ns(ms: object) -> int:
    return ms * NS if isinstance(ms, int) else 0


def _bounds(row: Mapping[str, object]) -> Range | None:
    expected, received = row.get("expected"), row.get("received")
    if isinstance(expected, int) and isinstance(received, int) and received > expected:
        return expected, received - 1
    return None


def _repaired_ids(root: Path, hours_ms: Sequence[int], key: StreamKey, now_ms: int) -> Iterator[int]:
    """Yield the ids in repair files: a crash may have come between a repair and the record of it."""
    read = key_reader("aggTrade", "usdm")
    for hour_ms in hours_ms:
        file = find_file(root, hour_ms, *key, repair=True) if hour_ms + HOUR_MS > now_ms - HORIZON_MS else None
        if file is not None:
            yield from (line.key.number for line in read_keys(file, read))


def _subtract(gaps: Iterable[IdGap], taken: Sequence[Range]) -> list[IdGap]:
    """Return what is left of gaps without the sorted ranges `taken`; where gaps overlap, the first to begin counts."""
    left: list[IdGap] = []
    index, covered = 0, -1
    for gap in sorted(gaps, key=lambda gap: gap.first):
        first = max(gap.first, covered + 1)
        covered = max(covered, gap.last)
        while index < len(taken) and taken[index][1] < first:
            index += 1
        at = index
        while first <= gap.last:
            low, high = taken[at] if at < len(taken) else (gap.last + 1, gap.last + 1)
            if low > first:
                last = min(gap.last, low - 1)
                left.append(IdGap(first, last, gap.start_ns, gap.end_ns, reported=gap.reported))
            first = max(first, high + 1)
            at += 1
    return left
