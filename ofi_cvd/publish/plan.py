"""Which hours of a symbol are due, and why: a pure function of what is published and of what is known now.

An hour is due iff the list it was built from, derived afresh, differs, or its rows or its opening state differ, or it is
not final, or its recorded parts are not there. Nothing here reads a file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.publish.basis import Basis, Influences, basis
from ofi_cvd.publish.checkpoint import HourEntry


class Reason(StrEnum):
    """Why an hour is due."""

    ASKED = "asked"
    NEW = "new"
    ROWS = "rows"
    OPENING = "opening"
    LIST = "list"
    NOT_FINAL = "not_final"
    PARTS = "parts"


@dataclass(frozen=True)
class Known:
    """What is known now.

    Attributes:
        influences: outages and id gaps, by the ledger and by all ids seen.
        last_event_ms: latest event known, of either stream.
        rows: hours that rows belong to which they were not built with.
        has_grown: the spool is not as it was, or a build was interrupted: what is not final may have changed.
        without_parts: hours whose recorded parts are not there, or lack a slice that is asked for.
        asked: hours to build again because the command says so.
    """

    influences: Influences
    last_event_ms: int = -1
    rows: Collection[int] = ()
    has_grown: bool = False
    without_parts: Collection[int] = ()
    asked: Collection[int] = ()


def due_hours(hours: Mapping[int, HourEntry], known: Known, among: Iterable[int] | None = None) -> dict[int, Reason]:
    """Return the hours that are due, out of all or out of some, each with the first reason found."""
    found = {}
    last = max(hours, default=-1)
    candidates = {*hours, *(at + HOUR_MS for at in hours)} if among is None else set(among)
    for hour_ms in sorted(at for at in candidates if at <= last):
        reason = why_due(hour_ms, hours, known) if hour_ms in hours else Reason.NEW
        if reason is not None:
            found[hour_ms] = reason
    return found


def why_due(hour_ms: int, hours: Mapping[int, HourEntry], known: Known) -> Reason | None:
    """Return why an hour is due; None if it is not.

    An hour that cannot be built again, for its files are gone, is due only where the command asks for it.
    """
    hour = hours[hour_ms]
    if hour_ms in known.asked:
        return Reason.ASKED
    if hour.is_kept:
        return None
    now, then = basis(hour_ms, hours, known.influences, known.last_event_ms, hour), hour.basis
    rules = (
        (Reason.ROWS, hour_ms in known.rows),
        (Reason.OPENING, _opens(now) != _opens(then)),
        (Reason.LIST, now != then),
        (Reason.NOT_FINAL, known.has_grown and not hour.final),
        (Reason.PARTS, hour_ms in known.without_parts),
    )
    return next((reason for reason, holds in rules if holds), None)


def _opens(one: Basis) -> tuple[object, ...]:
    return one.opening, one.trades_from, one.updates_from


@dataclass
class Passes:
    """What every hour was built from in one run, so that a run that would never end is an error that names the hour.

    A run ends: rows are read once, an hour's ids and gaps follow from its rows, its opening and the ids it begins with,
    and its list follows from all gaps. So after the last row is read, ids and gaps settle in one pass from the earliest
    hour on, and the lists in one more. An hour that would be built again from the very same is a fault.
    """

    _built: set[tuple[int, Basis, int]] = field(default_factory=set)

    def is_repeated(self, hour_ms: int, built_from: Basis, rows_read: int) -> bool:
        """Note a build of an hour; return whether it was built from the same before."""
        key = (hour_ms, built_from, rows_read)
        if key in self._built:
            return True
        self._built.add(key)
        return False
