"""One stream: what repeats, what is missing, what is merely late. The oracle is a plain set of ids."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from ofi_cvd.binance.keys import Key, key_reader
from ofi_cvd.collect.arrivals import Arrival, Verdict
from ofi_cvd.collect.id_gaps import IdGap, IdGaps
from ofi_cvd.collect.stats import StreamStats
from ofi_cvd.collect.stream_rate import StreamRate
from ofi_cvd.collect.stream_state import BELIEVED_JUMP, GRACE_S, HOLD_S, REBASE_AFTER, StreamState


def trade(number: int) -> Key:
    return Key(number, number, None, None)


def book(number: int, previous: int | None) -> Key:
    return Key(number, number, previous, None)


def state(stream: str = "aggTrade", lru: int = 1000) -> StreamState:
    return StreamState("BTCUSDT", stream, lru, StreamStats(), is_chained=stream != "bookTicker")


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80))
@example([5, 7, 6, 7, 10, 8])
def test_any_order_of_ids_is_stored_once_and_what_is_missing_is_known(numbers: list[int]) -> None:
    """Whatever the order and the repetitions: stored = distinct, missing = what lies between and was never there."""
    one = state()
    stored = [number for number in numbers if one.accept(trade(number), number, 0.0)]
    assert sorted(stored) == sorted(set(numbers))
    later = [number for i, number in enumerate(numbers) if max(numbers[: i + 1]) > numbers[0]] or [numbers[0]]
    expected = set(range(numbers[0] + 1, max(later) + 1)) - set(numbers)
    missing = {number for gap in one.id_gaps for number in range(gap.first, gap.last + 1)}
    assert missing == expected


def test_a_gap_is_due_only_after_its_grace() -> None:
    one = state()
    one.accept(trade(1), 100, 0.0)
    one.accept(trade(4), 200, 5.0)
    assert one.id_gaps.unreported(5.0 + GRACE_S / 2) == []
    (gap,) = one.id_gaps.unreported(5.0 + GRACE_S)
    assert (gap.first, gap.last, gap.start_ns, gap.end_ns) == (2, 3, 100, 200)


def test_a_late_frame_shrinks_the_gap_and_a_repair_of_it_is_not_taken() -> None:
    one = state()
    for number in (1, 5, 3):
        assert one.accept(trade(number), number, 0.0)
    assert not one.repair(3)
    assert one.repair(2)
    assert not one.accept(trade(2), 9, 1.0)  # the stream brings it after all: it is stored already
    assert one.id_gaps.missing_in(1, 5) == [(4, 4)]


def test_the_memory_for_ids_is_bounded() -> None:
    one = state(lru=10)
    for number in range(100):
        one.accept(trade(number), number, 0.0)
    assert not one.accept(trade(90), 1, 0.0)
    assert one.accept(trade(3), 1, 0.0)  # forgotten: stored again rather than lost
    assert len(one._seen) == 10


def test_ids_that_begin_anew_are_followed() -> None:
    one = state()
    for number in range(1000, 1010):
        one.accept(trade(number), 1, 0.0)
    for number in range(1, REBASE_AFTER + 3):
        assert one.accept(trade(number), 2, 0.0)
    one.accept(trade(REBASE_AFTER + 5), 3, 0.0)
    assert [(gap.first, gap.last) for gap in one.id_gaps] == [(REBASE_AFTER + 3, REBASE_AFTER + 4)]
    assert len(one.due_breaks(0.0)) == 1


def test_a_chained_book_breaks_where_its_previous_id_never_came() -> None:
    one = state("depth10@100ms")
    one.accept(book(10, 9), 100, 0.0)
    one.accept(book(20, 10), 200, 0.1)
    one.accept(
        book(40, 30), 300, 0.2, "p2"
    )  # another connection's first: the one before may still bring what is missing
    assert one.due_breaks(0.2) == []
    (gap,) = one.due_breaks(0.2 + GRACE_S)
    assert (gap.expected, gap.previous, gap.start_ns, gap.end_ns) == (20, 30, 200, 300)


def test_within_one_connection_the_frame_behind_a_gap_waits_for_the_record_of_it() -> None:
    one = state("depth10@100ms")
    one.accept(book(10, 9), 100, 0.0, "p1")
    assert one.accept(book(40, 30), 300, 0.2, "p1", 10) is Verdict.HELD
    assert one.hold(Arrival(book(40, 30), 300, 0.2, "p1", b"forty")) == []
    assert one.hold(Arrival(book(50, 40), 310, 0.21, "p1", b"fifty")) == []
    assert one.release(0.2 + HOLD_S / 2) == []
    assert [line for _, _, line in one.release(0.2 + HOLD_S)] == [b"forty", b"fifty"]
    (gap,) = one.due_breaks(0.2 + HOLD_S)
    assert (gap.expected, gap.previous, gap.start_ns, gap.end_ns) == (10, 30, 100, 300)
    assert one.accept(book(60, 50), 400, 0.4, "p1", 50) is Verdict.STORED


def test_neighbours_that_change_places_within_one_connection_are_no_gap() -> None:
    one = state("depth10@100ms")
    one.accept(book(10, 9), 100, 0.0, "p1")
    assert one.accept(book(30, 20), 300, 0.2, "p1", 10) is Verdict.HELD
    assert one.hold(Arrival(book(30, 20), 300, 0.2, "p1", b"thirty")) == []
    lines = one.hold(Arrival(book(20, 10), 301, 0.2, "p1", b"twenty"))
    assert [line for _, _, line in lines] == [b"twenty", b"thirty"]
    assert one.due_breaks(99.0) == []


def test_after_an_outage_nothing_can_come_late() -> None:
    one = state("depth10@100ms")
    one.accept(book(10, 9), 100, 0.0)
    one.lose()
    one.accept(book(40, 30), 300, 9.0)
    (gap,) = one.due_breaks(9.0)
    assert (gap.expected, gap.previous) == (10, 30)


def test_a_book_that_comes_late_closes_the_break() -> None:
    one = state("depth10@100ms")
    for conn, number, previous in (("p1", 10, 9), ("p2", 30, 20), ("p1", 20, 10)):
        assert one.accept(book(number, previous), number, 0.0, conn)
    assert one.due_breaks(99.0) == []


def test_an_outage_that_the_chain_proves_harmless_is_no_break() -> None:
    one = state("depth10@100ms")
    one.accept(book(10, 9), 100, 0.0)
    one.lose()
    one.accept(book(20, 10), 200, 60.0)
    assert one.due_breaks(99.0) == []


def test_quotes_have_no_chain_and_break_at_every_outage() -> None:
    one = state("bookTicker")
    one.accept(book(10, None), 100, 0.0)
    one.accept(book(50, None), 200, 0.1)
    assert one.due_breaks(0.1) == []
    one.lose()
    one.accept(book(51, None), 300, 9.0)
    (gap,) = one.due_breaks(9.0)
    assert (gap.start_ns, gap.end_ns) == (200, 300)


def test_quotes_with_one_id_and_other_sizes_are_not_repetitions() -> None:
    one = state("bookTicker")
    read = key_reader("bookTicker", "usdm")
    frame = '{"stream":"btcusdt@bookTicker","data":{"u":7,"b":"1","B":"%d","a":"2","A":"1"}}'
    first, second = (read((frame % size).encode()) for size in (5, 6))
    assert one.accept(first, 1, 0.0)
    assert one.accept(second, 2, 0.0)
    assert not one.accept(first, 3, 0.0)


def test_what_is_dropped_is_named_and_found_missing() -> None:
    one = state()
    one.accept(trade(1), 1, 0.0)
    for number in (2, 3, 5):
        one.drop(trade(number))
    one.drop(trade(1))  # a repetition of what is stored is no loss
    one.accept(trade(4), 2, 0.0)
    one.accept(trade(6), 3, 0.0)
    assert one.dropped.ranges == [[2, 3], [5, 5]]
    assert one.dropped.count == 3
    assert one.id_gaps.missing_in(0, 99) == [(2, 3), (5, 5)]


def test_giving_up_splits_a_hole() -> None:
    gaps = IdGaps([IdGap(1, 10, 0, 0)])
    gaps.remove(4, 6)
    assert gaps.missing_in(0, 99) == [(1, 3), (7, 10)]
    gaps.remove(1, 99)
    assert list(gaps) == []


def test_the_silence_limit_follows_the_streams_own_rate() -> None:
    fast, slow = StreamRate(), StreamRate()
    received = 0
    for second in range(400):
        received += second % 8 == 0
        fast.observe(10 * second, 1000.0 + second)
        slow.observe(received, 1000.0 + second)
    assert fast.silence_limit(15.0) == 15.0
    assert 120 < slow.silence_limit(15.0) < 200  # a frame in 8 s: silent for twenty times that
    assert StreamRate().silence_limit(15.0) == 60.0  # not known yet


def test_an_id_far_ahead_is_not_believed_until_a_second_frame_confirms_it() -> None:
    """One damaged id must not make millions of ids missing that do not exist yet."""
    one = state()
    one.accept(trade(1), 1, 0.0)
    assert one.accept(trade(10_000_000), 2, 0.0) is Verdict.STORED  # kept as it came
    assert one.accept(trade(2), 3, 0.0) is Verdict.STORED
    assert list(one.id_gaps) == []
    assert (one.newest, one.stats.unreadable) == (2, 1)
    one.accept(trade(20_000_000), 4, 0.0)
    one.accept(trade(20_000_003), 5, 0.0)
    assert [(gap.first, gap.last) for gap in one.id_gaps] == [(3, 19_999_999), (20_000_001, 20_000_002)]
    assert one.accept(trade(20_000_000), 6, 0.0) is Verdict.REPEATED
    assert one.accept(trade(10_000_000), 6, 0.0) is Verdict.STORED  # never counted as seen


def test_a_long_silence_makes_a_large_jump_believable() -> None:
    one = state()
    one.accept(trade(1), 1, 0.0)
    one.accept(trade(1_000_000), 3600 * 10**9, 3600.0)
    assert one.id_gaps.missing == 999_998
    assert one.newest - 1 > BELIEVED_JUMP


def test_the_same_id_with_other_content_is_kept_and_counted() -> None:
    one = state()
    assert one.accept(Key(1, 1, None, None, 11), 1, 0.0) is Verdict.STORED
    assert one.accept(Key(1, 1, None, None, 11), 2, 0.0) is Verdict.REPEATED
    assert one.accept(Key(1, 1, None, None, 22), 3, 0.0) is Verdict.STORED
    assert (one.stats.duplicates, one.stats.differing) == (1, 1)


ranges = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=20)


@given(ranges, ranges, st.tuples(st.integers(0, 70), st.integers(0, 30)))
def test_gaps_are_a_set_of_ids(
    added: list[tuple[int, int]], removed: list[tuple[int, int]], look: tuple[int, int]
) -> None:
    gaps, ids = IdGaps(), set[int]()
    for first, size in added:
        gaps.add(IdGap(first, first + size, 0, 0))
        ids |= set(range(first, first + size + 1))
    for first, size in removed:
        gaps.remove(first, first + size)
        ids -= set(range(first, first + size + 1))
    assert gaps.missing == len(ids)
    seen = {number for low, high in gaps.missing_in(look[0], sum(look)) for number in range(low, high + 1)}
    assert seen == {number for number in ids if look[0] <= number <= sum(look)}
    for number in (5, 30):
        assert gaps.fill(number) == (number in ids)
