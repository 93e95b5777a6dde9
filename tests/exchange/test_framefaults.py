"""Whatever the flow suffers, it can be told apart and accounted for."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofi_cvd.exchange.faults import FaultPlan, make_fault, parse_fault
from ofi_cvd.exchange.framefaults import MAX_GAP, FrameFaults

TRADES, BOOKS = "btcusdt@aggTrade", "btcusdt@depth10@100ms"


def numbers(faults: FrameFaults, stream: str, count: int) -> list[int]:
    """Return what comes out of a stream of numbered payloads; finished frames of the fault itself are left out."""
    return [
        int(sent.payload)
        for n in range(count)
        for sent in faults.apply(stream, b"%d" % n)
        if not sent.is_finished_frame
    ]


@given(
    st.lists(st.sampled_from(["dup", "reorder", "gap", "garbage"]), min_size=1, max_size=4),
    st.floats(0, 0.3),
    st.integers(0, 2**32),
)
def test_every_frame_is_sent_skipped_or_held(names: list[str], chance: float, seed: int) -> None:
    faults = FrameFaults(FaultPlan([make_fault(name, chance=chance) for name in names], seed))
    out = Counter(numbers(faults, TRADES, 300))
    skipped = Counter(int(payload) for _, payload in faults.skipped)
    held = Counter(range(300)) - out - skipped
    assert sum(held.values()) <= 1  # the last one, waiting for a successor to swap with
    assert not out.keys() & skipped.keys()
    if "dup" not in names:
        assert max(out.values(), default=1) == 1


def test_without_faults_the_flow_is_idle() -> None:
    faults = FrameFaults(FaultPlan([parse_fault("reset"), parse_fault("rest-429")]))
    assert faults.is_idle
    faults.arm(make_fault("dup"))
    assert not faults.is_idle
    assert numbers(faults, TRADES, 3) == [0, 0, 1, 2]
    assert faults.is_idle


def test_a_gap_skips_a_run_of_one_stream() -> None:
    faults = FrameFaults(FaultPlan([]))
    faults.arm(make_fault("gap", count=4))
    assert numbers(faults, BOOKS, 3) == [0, 1, 2]
    assert numbers(faults, TRADES, 7) == [4, 5, 6]
    assert [(stream, int(payload)) for stream, payload in faults.skipped] == [(TRADES, n) for n in range(4)]
    assert faults.is_idle


def test_a_gap_of_no_stated_length_is_bounded() -> None:
    for seed in range(20):
        faults = FrameFaults(FaultPlan([], seed))
        faults.arm(make_fault("gap"))
        assert MAX_GAP * 2 - MAX_GAP <= len(numbers(faults, TRADES, MAX_GAP * 2)) < MAX_GAP * 2


def test_a_swap_exchanges_neighbours_of_one_stream() -> None:
    faults = FrameFaults(FaultPlan([]))
    faults.arm(make_fault("reorder", TRADES))
    assert numbers(faults, TRADES, 4) == [1, 0, 2, 3]


@pytest.mark.parametrize("seed", range(20))
def test_garbage_comes_before_the_frame_it_struck(seed: int) -> None:
    faults = FrameFaults(FaultPlan([], seed))
    faults.arm(make_fault("garbage", "*@aggTrade"))
    rubbish, frame = faults.apply(TRADES, b"1")
    assert rubbish.is_finished_frame
    assert rubbish.payload[0] in {0x81, 0x82}  # one whole text or binary frame
    assert frame == (b"1", False)


def test_an_oversized_frame_has_the_size_that_was_asked_for() -> None:
    faults = FrameFaults(FaultPlan([]))
    faults.arm(make_fault("oversize", "3"))
    assert len(faults.apply(BOOKS, b"1")[0].payload) > 3_000_000
