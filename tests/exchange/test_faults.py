from __future__ import annotations

import pytest

from ofi_cvd.errors import InputError
from ofi_cvd.exchange.faults import KINDS, Fault, FaultPlan, make_fault, parse_fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("reset", Fault(name="reset", value="*", every_s=30)),
        ("reset=*@aggTrade:at=2.5", Fault(name="reset", value="*@aggTrade", at_s=2.5)),
        ("gap:every=10:n=25", Fault(name="gap", value="*@aggTrade", every_s=10, count=25)),
        ("dup", Fault(name="dup", value="*", chance=0.01)),
        ("clock=-1500", Fault(name="clock", value="-1500")),
        ("silent=btcusdt@depth10@100ms", Fault(name="silent", value="btcusdt@depth10@100ms")),
        ("rest-500:p=0.25", Fault(name="rest-500", value="500", chance=0.25)),
    ],
)
def test_a_fault_reads_as_it_is_written(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    "text",
    ["", "flood", "clock", "silent", "clock=soon", "slow=nan", "reset:at", "reset:at=x", "reset:when=3", "dup:p=1.5",
     "gap:n=0", "reset:every=0", "reset:every=-1", "reset:at=inf"],
)  # fmt: skip
def test_what_is_not_a_fault_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(InputError, match="expected"):
        parse_fault(text)


@pytest.mark.parametrize("name", KINDS)
def test_every_fault_has_a_default_or_says_that_it_needs_a_value(name: str) -> None:
    if KINDS[name].default is None:
        with pytest.raises(InputError, match=name):
            make_fault(name)
    else:
        assert make_fault(name).is_standing


def test_faults_strike_when_their_time_comes_and_not_twice() -> None:
    plan = FaultPlan([parse_fault("reset:every=10"), parse_fault("close:at=4")])
    struck = [(now, fault.name) for now in range(0, 300, 1) for fault in plan.due(now / 10)]
    assert struck == [(40, "close"), (100, "reset"), (200, "reset")]


def test_a_late_look_finds_one_strike_not_the_missed_ones() -> None:
    plan = FaultPlan([parse_fault("reset:every=1")])
    assert len(plan.due(7.5)) == 1
    assert plan.due(7.9) == []
    assert len(plan.due(8.0)) == 1


def test_chances_are_per_second_for_sockets_and_the_same_for_the_same_seed() -> None:
    runs = []
    for seed in (1, 1, 2):
        plan = FaultPlan([parse_fault("reset:p=0.3")], seed)
        runs.append([tenth for tenth in range(10_000) if plan.due(tenth / 10)])
    assert runs[0] == runs[1] != runs[2]
    assert 240 <= len(runs[0]) <= 360  # a thousand seconds at 0.3; five standard deviations are 72
    assert all(later - earlier >= 10 for earlier, later in zip(runs[0], runs[0][1:], strict=False))


def test_standing_faults_and_chances_by_frame_never_come_due() -> None:
    plan = FaultPlan([parse_fault(text) for text in ("slow", "dup:p=1", "rest-500:p=1", "wrong-route")])
    assert [plan.due(now) for now in (0.0, 1.0, 100.0)] == [[], [], []]
    assert plan.standing("slow")
    assert plan.by_chance("rest-500")
    assert plan.by_chance("slow") is None
