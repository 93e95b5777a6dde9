"""The ledger records of what is missing, repeated or lost: one function a kind."""

from __future__ import annotations

from collections.abc import Mapping

from ofi_cvd.collect.actions import LedgerRecord
from ofi_cvd.collect.arrivals import SequenceBreak
from ofi_cvd.collect.id_gaps import IdGap, Range
from ofi_cvd.collect.stream_state import StreamState

NS = 1_000_000


def id_gap(state: StreamState, gap: IdGap) -> LedgerRecord:
    """Return the record of missing trade ids, between the receipts before and after."""
    facts = {
        "expected": gap.first, "received": gap.last + 1, "missing": gap.missing,
        "start_ms": gap.start_ns // NS, "end_ms": gap.end_ns // NS,
    }  # fmt: skip
    return _record("gap", state, facts)


def sequence_break(state: StreamState, gap: SequenceBreak) -> LedgerRecord:
    """Return the record of a book's gap, between the receipts before and after."""
    facts = {
        "expected": gap.expected, "received": gap.previous, "missing": None,
        "start_ms": gap.start_ns // NS, "end_ms": gap.end_ns // NS,
    }  # fmt: skip
    return _record("gap", state, facts)


def repaired(state: StreamState, ids: Range) -> LedgerRecord:
    """Return the record of trades that were fetched."""
    first, last = ids
    facts = {"expected": first, "received": last + 1, "count": last - first + 1}
    return _record("repaired", state, facts, conn="rest")


def unrepairable(state: StreamState, ids: Range, reason: str) -> LedgerRecord:
    """Return the record of trades that cannot be had."""
    first, last = ids
    facts = {"expected": first, "received": last + 1, "missing": last - first + 1, "reason": reason}
    return _record("unrepairable", state, facts, conn="rest")


def overflow(state: StreamState, wall_ns: int) -> LedgerRecord:
    """Return the record of frames for which there was no room."""
    facts = {
        "count": state.dropped.count, "ids": state.dropped.ranges, "reason": "overflow", "end_ms": wall_ns // NS,
    }  # fmt: skip
    return _record("drop", state, facts)


def duplicates(state: StreamState, count: int, differing: int, start_ms: int, end_ms: int) -> LedgerRecord:
    """Return the record of repetitions left out; `differing` had the same id and other content, and were kept."""
    facts = {"count": count, "differing": differing, "start_ms": start_ms, "end_ms": end_ms}
    return LedgerRecord("duplicate", state.symbol, state.stream, facts=facts, hour_ms=start_ms)


def _record(event: str, state: StreamState, facts: Mapping[str, object], conn: str | None = None) -> LedgerRecord:
    return LedgerRecord(event, state.symbol, state.stream, conn, facts)
