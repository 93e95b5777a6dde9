"""Epochs against a slow loop."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from ofi_cvd.features import epochs
from ofi_cvd.features.gaps import IdGap, LedgerGap, keyed
from tests.oracles.epochs import epoch_at
from tests.oracles.epochs import epochs as oracle_epochs


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Runs of ids that begin anew at random heights, with stray rows and repetitions among them."""
    rows: list[tuple[int, int]] = []
    at_ms = 1_000
    for _ in range(draw(st.integers(1, 4))):
        number = draw(st.sampled_from([1, 5, 49_000, 60_000, 100_000]))
        for _ in range(draw(st.sampled_from([3, 48, 49, 50, 51, 60, 120]))):
            rows.append((at_ms, number))
            at_ms += draw(st.sampled_from([0, 1, 1, 7]))
            number += draw(st.sampled_from([1, 1, 1, 2]))
    strays = st.tuples(st.integers(900, at_ms), st.sampled_from([2, 39_000, 90_000, 150_000]))
    rows += draw(st.lists(strays, max_size=3))
    return draw(st.permutations(rows)) if draw(st.booleans()) else rows


def found_in(rows: list[tuple[int, int]]) -> epochs.Found:
    return epochs.find_openings(pl.Series([at for at, _ in rows]), pl.Series([number for _, number in rows]))


@settings(max_examples=60, deadline=None)
@given(streams())
def test_epochs_open_where_the_slow_loop_says(rows: list[tuple[int, int]]) -> None:
    wanted = oracle_epochs(rows)
    found = found_in(rows)
    assert [(one.at_ms, one.first_id) for one in found.openings] == [some[0] for some in wanted[1:]]
    assert [one.before_ms for one in found.openings] == [some[-1][0] for some in wanted[:-1]]


@settings(max_examples=60, deadline=None)
@given(streams(), st.lists(st.integers(800, 2_500), min_size=1, max_size=5))
def test_rows_join_the_epochs_the_slow_loop_says(rows: list[tuple[int, int]], others: list[int]) -> None:
    wanted = oracle_epochs(rows)
    spans = [(some[0][0], some[-1][0]) for some in wanted]
    lines = [(at, number, 0, i) for i, some in enumerate(wanted) for at, number in some]
    lines += [(at, 7, 1, epoch_at(spans, at)) for at in others]
    frame = pl.DataFrame(lines, schema=["at_ms", "trade_id", "precedence", "wanted"], orient="row")
    keys = epochs.with_keys(frame, found_in(rows).openings, ["trade_id"], pl.col("at_ms"))
    told = keys.select(epoch=epochs.epoch_of("trade_id"), number=epochs.id_of("trade_id"))
    assert told["epoch"].to_list() == frame["wanted"].to_list()
    assert told["number"].to_list() == frame["trade_id"].to_list()


def test_a_run_too_short_to_decide_is_undecided_and_one_more_row_decides() -> None:
    old = [(at, 100_000 + at) for at in range(100)]
    fresh = [(100 + at, 1 + at) for at in range(50)]
    assert found_in(old + fresh[:49]) == epochs.Found((), undecided_ms=100)
    assert found_in(old + fresh).openings == (epochs.Opening(100, 1, before_ms=99, decided_ms=149),)
    assert found_in(old + fresh[:20] + [(130, 100_101)]).undecided_ms is None


@settings(max_examples=60, deadline=None)
@given(streams())
def test_a_stream_with_an_opening_may_open_one(rows: list[tuple[int, int]]) -> None:
    frame = pl.DataFrame(rows, schema=["at_ms", "id"], orient="row")
    if len(oracle_epochs(rows)) > 1:
        assert epochs.may_open(frame, "id")


def test_ids_made_from_times_have_no_epoch() -> None:
    number = 1_700_000_000_000_000_000
    told = pl.DataFrame({"id": [number]}).select(epoch=epochs.epoch_of("id"), number=epochs.id_of("id"))
    assert told.row(0) == (0, number)


def test_a_gap_over_an_opening_is_one_of_unknown_size() -> None:
    openings = [epochs.Opening(1_000, 5, before_ms=900, decided_ms=1_050)]
    over = keyed(LedgerGap(800, 1_100, 70_001, 5), openings)
    assert (over.expected, over.received) == (70_001, epochs.KEYS + 5)
    behind = keyed(LedgerGap(1_200, 1_300, 9, 12), openings)
    assert (behind.expected, behind.received) == (epochs.KEYS + 9, epochs.KEYS + 12)
    assert IdGap(70_001, epochs.KEYS + 4, 900, 1_000).missing == 1
