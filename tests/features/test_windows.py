"""Trailing windows against a loop over exact integers.

See docs/specification/index.md#windows, docs/specification/ofi.md#standard-scores.
"""

from __future__ import annotations

import math
import statistics
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ofi_cvd.features.windows import ZRule, trailing_scale, trailing_z, with_moments

W = 1_000
RULE = ZRule(window_ms=W, min_rows=3, min_age_ms=500, limit=4.0)
UNIT = 100
HUGE = 10**20 * UNIT  # a quantity of 1e20: its square leaves 128 bits behind

Rows = list[tuple[int, int | None]]
SIZES = st.one_of(st.integers(-9, 9), st.integers(-(10**12), 10**12), st.integers(-HUGE, HUGE), st.none())


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    values = draw(st.lists(SIZES, max_size=40))
    pauses = draw(st.lists(st.sampled_from((0, 1, 100, 100, 333, 1_000, 1_001, 5_000)), min_size=40, max_size=40))
    times = [sum(pauses[: i + 1]) for i in range(len(values))]
    return list(zip(times, values, strict=True))


def with_scores(given_rows: Rows, rule: ZRule = RULE) -> pl.DataFrame:
    frame = pl.LazyFrame(given_rows, schema={"ts_ms": pl.Int64, "x": pl.Int128}, orient="row")
    first = pl.lit(given_rows[0][0] if given_rows else 0, dtype=pl.Int64)
    return (
        frame.pipe(with_moments, "x", "ts_ms", rule.window_ms)
        .with_columns(
            scale=trailing_scale("x", "ts_ms", rule, unit=UNIT, first_ms=first),
            z=trailing_z("x", "ts_ms", rule, first_ms=first),
        )
        .collect()
    )


@given(rows())
@example([(i * 100, 7) for i in range(20)])
@example([(i * 100, HUGE - i) for i in range(20)])
@settings(max_examples=150, deadline=None)
def test_scale_and_z_are_those_of_the_trailing_values(given_rows: Rows) -> None:
    """The current moment is excluded with all its ties; nulls are not rows; a constant window is exactly 0."""
    found = with_scores(given_rows).to_dicts()
    first_ms = given_rows[0][0] if given_rows else 0
    for row, (now, value) in zip(found, given_rows, strict=True):
        past = [x for at, x in given_rows if now - W <= at < now and x is not None]
        if len(past) < RULE.min_rows or now - first_ms < RULE.min_age_ms:
            assert (row["scale"], row["z"]) == (None, None)
            continue
        deviation = math.sqrt(statistics.variance(Fraction(x, UNIT) for x in past))
        if deviation == 0:
            assert row["scale"] == 0
            assert row["z"] is None
            continue
        assert row["scale"] == pytest.approx(deviation, rel=1e-12)
        if value is None:
            assert row["z"] is None
        else:
            z = float((Fraction(value, UNIT) - statistics.mean(Fraction(x, UNIT) for x in past)) / Fraction(deviation))
            assert row["z"] == pytest.approx(max(-RULE.limit, min(RULE.limit, z)), rel=1e-11, abs=1e-12)


@given(st.integers(-HUGE, HUGE), st.integers(7, 30), st.lists(SIZES.filter(lambda x: x is not None), max_size=10))
@settings(max_examples=60, deadline=None)
def test_a_constant_window_is_exactly_zero(value: int, count: int, before: list[int]) -> None:
    """Also behind noise: nothing of what has left the window remains."""
    noise: Rows = [(i * 10, x) for i, x in enumerate(before)]
    last = with_scores([*noise, *((10_000 + i * 100, value) for i in range(count))]).row(-1, named=True)
    assert last["scale"] == 0.0
    assert last["z"] is None


@pytest.mark.parametrize("size", [2**k for k in range(40, 127, 3)] + [5 * 10**21, 2 * 10**23])
def test_no_size_of_queue_wraps_a_window(size: int) -> None:
    """From sizes whose squares fit to those that leave 128 bits by far: the deviation is that of the values."""
    values = [size - 1 if i % 3 else -size for i in range(40)]
    last = with_scores([(i * 100, value // 50) for i, value in enumerate(values)]).row(-1, named=True)
    past = [Fraction(value // 50, UNIT) for value in values[29:39]]
    assert last["scale"] == pytest.approx(math.sqrt(statistics.variance(past)), rel=1e-12)


def test_age_and_rows_of_the_warm_up() -> None:
    """Known from the third row that lies before, and from half a second on."""
    found = with_scores([(at, at % 7) for at in (0, 100, 200, 300, 499, 500, 2_000)])
    assert found["scale"].is_null().to_list() == [True, True, True, True, True, False, True]


def test_the_window_holds_its_beginning_and_not_its_end() -> None:
    """`[t - W, t)`."""
    found = with_scores([(0, 1), (0, 2), (0, 4), (1_000, 9), (1_000, 9), (1_001, 9)])
    assert found["x_rows"].to_list() == [0, 0, 0, 3, 3, 2]
    assert found["x_sum"].to_list() == [0, 0, 0, 7, 7, 18]
