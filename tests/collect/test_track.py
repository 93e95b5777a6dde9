"""One stream: what repeats, what is missing, what is merely late. The oracle is a plain set of ids."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from ofi_cvd.binance.keys import Key
from ofi_cvd.collect.stats import StreamStats
from ofi_cvd.collect.track import GRACE_S, REBASE_AFTER, Hole, Track


def trade(number: int) -> Key:
    return Key(number, number, None, None)


def book(number: int, previous: int | None) -> Key:
    return Key(number, number, previous, None)


def track(stream: str = "aggTrade", lru: int = 1000) -> Track:
    return Track("BTCUSDT", stream, lru, StreamStats())


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80))
@example([5, 7, 6, 7, 10, 8])
def test_any_order_of_ids_is_stored_once_and_what_is_missing_is_known(numbers: list[int]) -> None:
    """Whatever the order and the repetitions: stored = distinct, holes = what lies between and was never there."""
    one = track()
    stored = [number for number in numbers if one.accept(trade(number), number, 0.0)]
    assert sorted(stored) == sorted(set(numbers))
    later = [number for i, number in enumerate(numbers) if max(numbers[: i + 1]) > numbers[0]] or [numbers[0]]
    expected = set(range(numbers[0] + 1, max(later) + 1)) - set(numbers)
    missing = {number for hole in one.holes for number in range(hole.first, hole.last + 1)}
    assert missing == expected


def test_a_hole_is_due_only_after_its_grace() -> None:
    one = track()
    one.accept(trade(1), 100, 0.0)
    one.accept(trade(4), 200, 5.0)
    assert one.due_holes(5.0 + GRACE_S / 2) == []
    (hole,) = one.due_holes(5.0 + GRACE_S)
    assert (hole.first, hole.last, hole.start_ns, hole.end_ns) == (2, 3, 100, 200)
    assert one.due_holes(99.0) == []  # under repair


def test_a_late_frame_shrinks_the_hole_and_a_repair_of_it_is_not_taken() -> None:
    one = track()
    for number in (1, 5, 3):
        assert one.accept(trade(number), number, 0.0)
    assert not one.repair(3)
    assert one.repair(2)
    assert not one.accept(trade(2), 9, 1.0)  # the stream brings it after all: it is stored already
    assert one.missing_in(1, 5) == [(4, 4)]


def test_the_memory_for_ids_is_bounded() -> None:
    one = track(lru=10)
    for number in range(100):
        one.accept(trade(number), number, 0.0)
    assert not one.accept(trade(90), 1, 0.0)
    assert one.accept(trade(3), 1, 0.0)  # forgotten: stored again rather than lost
    assert len(one._seen) == 10


def test_ids_that_begin_anew_are_followed() -> None:
    one = track()
    for number in range(1000, 1010):
        one.accept(trade(number), 1, 0.0)
    for number in range(1, REBASE_AFTER + 3):
        assert one.accept(trade(number), 2, 0.0)
    one.accept(trade(REBASE_AFTER + 5), 3, 0.0)
    assert [(hole.first, hole.last) for hole in one.holes] == [(REBASE_AFTER + 3, REBASE_AFTER + 4)]
    assert len(one.due_breaks(0.0)) == 1


def test_a_chained_book_breaks_where_its_previous_id_never_came() -> None:
    one = track("depth10@100ms")
    one.accept(book(10, 9), 100, 0.0)
    one.accept(book(20, 10), 200, 0.1)
    one.accept(book(40, 30), 300, 0.2)
    assert one.due_breaks(0.2) == []
    (gap,) = one.due_breaks(0.2 + GRACE_S)
    assert (gap.expected, gap.previous, gap.start_ns, gap.end_ns) == (20, 30, 200, 300)


def test_after_an_outage_nothing_can_come_late() -> None:
    one = track("depth10@100ms")
    one.accept(book(10, 9), 100, 0.0)
    one.lose()
    one.accept(book(40, 30), 300, 9.0)
    (gap,) = one.due_breaks(9.0)
    assert (gap.expected, gap.previous) == (10, 30)


def test_a_book_that_comes_late_closes_the_break() -> None:
    one = track("depth10@100ms")
    for number, previous in ((10, 9), (30, 20), (20, 10)):
        assert one.accept(book(number, previous), number, 0.0)
    assert one.due_breaks(99.0) == []


def test_an_outage_that_the_chain_proves_harmless_is_no_break() -> None:
    one = track("depth10@100ms")
    one.accept(book(10, 9), 100, 0.0)
    one.lose()
    one.accept(book(20, 10), 200, 60.0)
    assert one.due_breaks(99.0) == []


def test_quotes_have_no_chain_and_break_at_every_outage() -> None:
    one = track("bookTicker")
    one.accept(book(10, None), 100, 0.0)
    one.accept(book(50, None), 200, 0.1)
    assert one.due_breaks(0.1) == []
    one.lose()
    one.accept(book(51, None), 300, 9.0)
    (gap,) = one.due_breaks(9.0)
    assert (gap.start_ns, gap.end_ns) == (200, 300)


def test_quotes_with_one_id_and_other_sizes_are_not_repetitions() -> None:
    one = track("bookTicker")
    assert one.accept(Key((7, "1", "2", "3", "4"), 7, None, None), 1, 0.0)
    assert one.accept(Key((7, "1", "9", "3", "4"), 7, None, None), 2, 0.0)
    assert not one.accept(Key((7, "1", "2", "3", "4"), 7, None, None), 3, 0.0)


def test_what_is_dropped_is_named_and_found_missing() -> None:
    one = track()
    one.accept(trade(1), 1, 0.0)
    for number in (2, 3, 5):
        one.drop(trade(number))
    one.drop(trade(1))  # a repetition of what is stored is no loss
    one.accept(trade(4), 2, 0.0)
    one.accept(trade(6), 3, 0.0)
    assert one.dropped.ranges == [[2, 3], [5, 5]]
    assert one.dropped.count == 3
    assert one.missing_in(0, 99) == [(2, 3), (5, 5)]


def test_giving_up_splits_a_hole() -> None:
    one = track()
    one.holes = [Hole(1, 10, 0, 0, 0.0)]
    one.forget(4, 6)
    assert one.missing_in(0, 99) == [(1, 3), (7, 10)]
    one.forget(1, 99)
    assert one.holes == []


def test_the_silence_limit_follows_the_streams_own_rate() -> None:
    fast, slow = track(), track()
    for second in range(400):
        for _ in range(10):
            fast.stats.received += 1
        slow.stats.received += second % 8 == 0
        fast.observe(1000.0 + second)
        slow.observe(1000.0 + second)
    assert fast.silence_limit(15.0) == 15.0
    assert 120 < slow.silence_limit(15.0) < 200  # a frame in 8 s: silent for twenty times that
    assert track().silence_limit(15.0) == 60.0  # not known yet
