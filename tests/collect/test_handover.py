"""Streams without a chain across connections that stall and end: every gap is in the ledger, and no other."""

from __future__ import annotations

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.collect import handover

seeds = st.integers(0, 10**6)


@settings(max_examples=40, deadline=None, phases=[Phase.generate])
@given(seeds)
def test_every_gap_of_a_stream_without_a_chain_is_in_the_ledger(seed: int) -> None:
    handover.check(seed)


@settings(max_examples=20, deadline=None, phases=[Phase.generate])
@given(seeds)
def test_planned_rotations_alone_leave_no_gap(seed: int) -> None:
    handover.check_quiet(seed)
