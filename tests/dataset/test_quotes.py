"""Forward returns against a slow loop, and that nothing but the horizon's own quotes is looked at."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofi_cvd.dataset.quotes import Gaps, Quotes, id_gaps, join_gaps, merge_gaps, suspect_gaps

Pairs = list[tuple[int, int]]


def gaps_of(pairs: Pairs) -> Gaps:
    return merge_gaps(np.array([a for a, _ in pairs], np.int64), np.array([b for _, b in pairs], np.int64))


def slow_forward(quotes: list[tuple[int, float]], holes: Pairs, t: int, horizon: int) -> float | None:
    """The definition, word by word."""
    inside = [price for when, price in quotes if t < when <= t + horizon]
    if not inside or quotes[-1][0] < t + horizon:
        return None
    if any(t < end and start < t + horizon for start, end in holes):
        return None
    return math.log(inside[-1]) - math.log(inside[0])


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[tuple[int, float]], Pairs]:
    times = sorted(draw(st.lists(st.integers(0, 60), min_size=1, max_size=25)))  # ties are trades of one millisecond
    prices = [draw(st.sampled_from([99.0, 100.0, 100.5, 101.0])) for _ in times]
    holes = [(a, a + w) for a, w in draw(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=3))]
    return list(zip(times, prices, strict=True)), holes


def built(quotes: list[tuple[int, float]], holes: Pairs) -> Quotes:
    times, prices = (np.array(column) for column in zip(*quotes, strict=True))
    return Quotes(times.astype(np.int64), np.log(prices), gaps_of(holes))


@given(markets(), st.integers(1, 30))
def test_forward_return_is_the_definition(market: tuple[list[tuple[int, float]], Pairs], horizon: int) -> None:
    quotes, holes = market
    times = np.arange(-5, 70, dtype=np.int64)
    got = built(quotes, holes).forward(times, horizon)
    want = [slow_forward(quotes, holes, int(t), horizon) for t in times]
    assert [None if math.isnan(value) else value for value in got] == pytest.approx(want, abs=1e-12)


@given(markets(), st.integers(1, 30), st.integers(0, 60), st.data())
def test_labels_look_at_their_own_horizon_only(
    market: tuple[list[tuple[int, float]], Pairs], horizon: int, t: int, data: st.DataObject
) -> None:
    """Quotes after t + h change no label up to t; quotes in (t, t + h] change only labels whose horizon covers them."""
    quotes, holes = market
    times = np.arange(-5, 70, dtype=np.int64)
    before = built(quotes, holes).forward(times, horizon)
    later = [(when, price * (1.5 if when > t + horizon else 1.0)) for when, price in quotes]
    after = built(later, holes).forward(times, horizon)
    np.testing.assert_array_equal(after[times <= t], before[times <= t])

    changed = {when for when, _ in quotes if t < when <= t + horizon and data.draw(st.booleans())}
    within = [(when, price * (1.5 if when in changed else 1.0)) for when, price in quotes]
    moved = built(within, holes).forward(times, horizon)
    untouched = np.array([not any(s < when <= s + horizon for when in changed) for s in times])
    np.testing.assert_array_equal(moved[untouched], before[untouched])


def test_a_quote_inside_the_horizon_does_change_its_label() -> None:
    """The counterpart: otherwise the two properties above would hold for labels that ignore prices."""
    quotes = [(0, 100.0), (1, 100.0), (5, 101.0), (9, 100.0)]
    assert built(quotes, []).forward(np.array([0]), 5)[0] == pytest.approx(math.log(1.01))


def test_the_quote_at_t_is_not_tradable_and_the_quote_at_the_end_counts() -> None:
    quotes = [(10, 100.0), (11, 102.0), (20, 104.0), (21, 1.0)]
    assert built(quotes, []).forward(np.array([10]), 10)[0] == pytest.approx(math.log(104 / 102))


def test_backward_joins_forward_at_the_same_base() -> None:
    quotes = [(0, 100.0), (9, 101.0), (11, 102.0), (30, 103.0)]
    back = built(quotes, []).backward(np.array([10]), 5)[0]
    assert back == pytest.approx(math.log(100 / 102))


def test_one_gap_is_where_the_flag_turns_on() -> None:
    """Rows every second; a break between 10 and 11; suspect for 5 s: the hole is (10, 11]."""
    times = np.arange(0, 40, dtype=np.int64)
    gaps = suspect_gaps(times, (times >= 11) & (times <= 16), 5)
    assert (gaps.starts.tolist(), gaps.ends.tolist()) == ([10], [11])


def test_a_gap_hidden_in_a_longer_run_is_not_missed() -> None:
    """Gaps at 11 and 14, flag on until 19: everything to 19 - 5 = 14 counts as a hole."""
    times = np.arange(0, 40, dtype=np.int64)
    gaps = suspect_gaps(times, (times >= 11) & (times <= 19), 5)
    assert (gaps.starts.tolist(), gaps.ends.tolist()) == ([10], [14])
    crossed = gaps.crossed(np.array([8, 9, 13, 14]), np.array([10, 11, 15, 16]))
    assert crossed.tolist() == [False, True, True, False]


def test_data_that_begins_suspect_loses_no_label_after_its_first_row() -> None:
    times = np.arange(0, 20, dtype=np.int64)
    gaps = suspect_gaps(times, times <= 5, 5)
    assert gaps.crossed(np.array([0, -1]), np.array([3, 3])).tolist() == [False, True]


def test_missing_ids_are_a_hole_up_to_the_trade_that_says_so() -> None:
    gaps = id_gaps(np.array([1, 4, 9, 12]), np.array([0, 0, 3, 0]) > 0)
    assert (gaps.starts.tolist(), gaps.ends.tolist()) == ([4], [9])


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=6))
def test_merged_gaps_are_sorted_disjoint_and_cross_the_same(raw: Pairs) -> None:
    holes = [(a, a + w) for a, w in raw]
    gaps = join_gaps(gaps_of(holes[:2]), gaps_of(holes[2:]))
    assert all(a < b for a, b in zip(gaps.starts, gaps.ends, strict=True))
    assert all(b < a for b, a in zip(gaps.ends[:-1], gaps.starts[1:], strict=True))
    after = np.arange(-3, 65, dtype=np.int64)
    want = [any(t < end and start < t + 4 for start, end in holes) for t in after.tolist()]
    assert gaps.crossed(after, after + 4).tolist() == want
