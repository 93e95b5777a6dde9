"""Which hours are due, and why: the planner alone, without a file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ofi_cvd.features.gaps import IdGap, LedgerGap
from ofi_cvd.publish.basis import NEVER_MS, Influences, LedgerGaps, basis, id_gaps, influences
from ofi_cvd.publish.checkpoint import HourEntry
from ofi_cvd.publish.plan import Known, Passes, Reason, due_hours, why_due

HOUR = 3_600_000
REACH_MS = 60_000
NOTHING = Influences()


def chain(count: int, reaching: Influences = NOTHING, last_event_ms: int = 99 * HOUR) -> dict[int, HourEntry]:
    """Return hours that are final and built from what is known."""
    hours: dict[int, HourEntry] = {}
    for i in range(count):
        entry = HourEntry(final=True, trades_to=(100 * (i + 1), 0), updates_to=(7 * i, 0), state_digest=f"state {i}")
        entry.basis = basis(i * HOUR, hours, reaching, last_event_ms, entry)
        hours[i * HOUR] = entry
    return hours


def known(**facts: object) -> Known:
    return Known(**({"influences": NOTHING, "last_event_ms": 99 * HOUR} | facts))  # type: ignore[arg-type]


def reopened(hours: dict[int, HourEntry]) -> None:
    hours[HOUR].final = False


def restated(hours: dict[int, HourEntry]) -> None:
    hours[0].state_digest = "another"


def ends_elsewhere(hours: dict[int, HourEntry]) -> None:
    hours[0].trades_to = (101, 0)
    hours[0].basis = basis(0, hours, NOTHING, 99 * HOUR, hours[0])


def removed(hours: dict[int, HourEntry]) -> None:
    del hours[HOUR]


def kept(hours: dict[int, HourEntry]) -> None:
    hours[HOUR].is_kept = True


def unchanged(hours: dict[int, HourEntry]) -> None:
    assert hours


@pytest.mark.parametrize(
    ("change", "facts", "due"),
    [
        (unchanged, {}, {}),
        (unchanged, {"has_grown": True}, {}),
        (reopened, {}, {}),
        (reopened, {"has_grown": True}, {HOUR: Reason.NOT_FINAL}),
        (restated, {}, {HOUR: Reason.OPENING}),
        (ends_elsewhere, {}, {HOUR: Reason.OPENING}),
        (removed, {}, {HOUR: Reason.NEW, 2 * HOUR: Reason.OPENING}),
        (unchanged, {"rows": [2 * HOUR]}, {2 * HOUR: Reason.ROWS}),
        (unchanged, {"rows": [7 * HOUR]}, {}),
        (unchanged, {"without_parts": [0]}, {0: Reason.PARTS}),
        (unchanged, {"asked": [0, HOUR]}, {0: Reason.ASKED, HOUR: Reason.ASKED}),
        (kept, {"rows": [HOUR], "without_parts": [HOUR]}, {}),
        (kept, {"asked": [HOUR]}, {HOUR: Reason.ASKED}),
        (unchanged, {"last_event_ms": 2 * HOUR + 5}, {2 * HOUR: Reason.LIST}),
    ],
)
def test_an_hour_is_due_for_a_reason(
    change: Callable[[dict[int, HourEntry]], None], facts: dict[str, object], due: dict[int, Reason]
) -> None:
    """Three hours, one change, one answer."""
    hours = chain(3)
    change(hours)
    assert due_hours(hours, known(**facts)) == due


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "felt_in"),
    [
        (10, 20, [0]),
        (HOUR - 1, HOUR, [0, 1]),
        (HOUR - REACH_MS - 20, HOUR - REACH_MS - 1, [0]),
        (HOUR - REACH_MS - 20, HOUR - REACH_MS, [0, 1]),
        (HOUR, HOUR, [1]),
        (10, 3 * HOUR - 1, [0, 1, 2, 3]),
        (-NEVER_MS, 10, [0]),
        (2 * HOUR + 5, NEVER_MS, [2, 3]),
    ],
)
def test_an_outage_reaches_into_hours(start_ms: int, end_ms: int, felt_in: list[int]) -> None:
    """[start - reach, end) of an hour, for ends of hours met and missed by a millisecond."""
    found = influences(LedgerGaps(), [IdGap(1, 2, start_ms, end_ms)], (1, 9), REACH_MS)
    assert [i for i in range(4) if found.on(i * HOUR)] == felt_in


OUTAGE = LedgerGap(HOUR - 100, HOUR + 100, 50, 60)


@pytest.mark.parametrize(
    ("gap", "gaps", "seen", "is_open"),
    [
        (OUTAGE, [], (1, 99), False),
        (OUTAGE, [IdGap(50, 59, 0, 1)], (1, 99), True),
        (OUTAGE, [IdGap(59, 59, 0, 1)], (1, 99), True),
        (OUTAGE, [IdGap(40, 49, 0, 1), IdGap(60, 62, 0, 1)], (1, 99), False),
        (OUTAGE, [], (51, 99), True),
        (OUTAGE, [], (1, 58), True),
        (OUTAGE, [], (50, 59), False),
        (LedgerGap(100, 200, 50, 50), [IdGap(40, 60, 0, 300)], (1, 99), False),
        (LedgerGap(100, 200), [], (1, 99), False),
        (LedgerGap(100, 200), [IdGap(5, 6, 200, 300)], (1, 99), True),
        (LedgerGap(100, 200), [IdGap(5, 6, 50, 100)], (1, 99), True),
        (LedgerGap(100, 200), [IdGap(5, 6, 50, 99), IdGap(8, 8, 201, 220)], (1, 99), False),
    ],
)
def test_an_outage_of_trades_is_open_while_ids_are_missing(
    gap: LedgerGap, gaps: list[IdGap], seen: tuple[int, int], is_open: bool
) -> None:
    found = influences(LedgerGaps(trades=[gap]), gaps, seen, REACH_MS)
    assert [one.is_open for one in found.known if one.what == "trade_outage"] == [is_open]


def test_an_outage_that_closes_makes_the_hours_on_both_sides_due() -> None:
    """Its last piece is repaired in the later hour: the list of the earlier one differs, too."""
    ledger = LedgerGaps(trades=[OUTAGE])
    then = influences(ledger, [IdGap(55, 59, HOUR + 10, HOUR + 90)], (1, 999), REACH_MS)
    now = influences(ledger, [], (1, 999), REACH_MS)
    hours = chain(3, then)
    assert due_hours(hours, known(influences=then)) == {}
    assert due_hours(hours, known(influences=now)) == {0: Reason.LIST, HOUR: Reason.LIST}
    assert now.hours_changed_since(then, hours) == {0, HOUR}
    assert why_due(2 * HOUR, hours, known(influences=now)) is None


def test_a_gap_without_a_trade_behind_it_ends_at_the_next_trade() -> None:
    """Whichever hour has it; without one it has no end."""
    hours = {
        0: HourEntry(id_gaps=[IdGap(5, 6, 10, NEVER_MS)]),
        HOUR: HourEntry(),
        2 * HOUR: HourEntry(first_trade_ms=2 * HOUR + 9, id_gaps=[IdGap(8, 8, 20, 30)]),
    }
    ahead = [IdGap(10, 11, 40, 50)]
    assert id_gaps(hours, ahead) == [IdGap(5, 6, 10, 2 * HOUR + 9), IdGap(8, 8, 20, 30), *ahead]
    del hours[2 * HOUR]
    assert id_gaps(hours, []) == [IdGap(5, 6, 10, NEVER_MS)]


def test_an_hour_is_not_built_again_from_the_very_same() -> None:
    passes, (first, second) = Passes(), (entry.basis for entry in chain(2).values())
    assert not passes.is_repeated(0, first, 1)
    assert not passes.is_repeated(0, second, 1)
    assert not passes.is_repeated(0, first, 2)
    assert not passes.is_repeated(HOUR, first, 1)
    assert passes.is_repeated(0, first, 1)
