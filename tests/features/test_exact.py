"""Exact arithmetic: one division at the end, correctly rounded."""

from __future__ import annotations

from fractions import Fraction

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ofi_cvd.features.exact import UNITS, ceil_to, negated, ratio, weight_units

WHOLE = st.integers(-(2**53), 2**53)


@given(st.lists(WHOLE, min_size=1, max_size=50), st.sampled_from((UNITS, 10, 3, 7, 10_000_000_000, 2**50)))
@example([3], 10)
@example([0, -1, 2**53], UNITS)
def test_a_ratio_is_correctly_rounded(values: list[int], denominator: int) -> None:
    """The float nearest to the fraction, which multiplying by a reciprocal does not give for one value in four."""
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.Int128)})
    found = frame.select(ratio(pl.col("x"), denominator))["x"].to_list()
    assert found == [float(Fraction(value, denominator)) for value in values]


def test_a_ratio_of_nothing_is_nothing() -> None:
    """Null stays null, zero is zero."""
    frame = pl.DataFrame({"x": pl.Series([None, 0], dtype=pl.Int128)})
    assert frame.select(ratio(pl.col("x"), 7))["x"].to_list() == [None, 0.0]


@given(st.lists(st.integers(-(2**100), 2**100), min_size=1))
def test_negation(values: list[int]) -> None:
    """Of integers of 128 bits."""
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.Int128)})
    assert frame.select(negated(pl.col("x")).alias("x"))["x"].to_list() == [-value for value in values]


@pytest.mark.parametrize(
    ("weights", "levels", "wanted"),
    [
        (("0.40", "0.25", "0.20", "0.10", "0.05"), 5, ([40, 25, 20, 10, 5], 100)),
        (("0.40", "0.25", "0.20", "0.10", "0.05"), 1, ([40], 40)),
        (("0.40", "0.25", "0.2"), 2, ([40, 25], 65)),
        (("1", "2"), 2, ([1, 2], 3)),
        (("1E+1", "0.5"), 2, ([100, 5], 105)),
    ],
)
def test_weights_are_integers(weights: tuple[str, ...], levels: int, wanted: tuple[list[int], int]) -> None:
    """Of the first levels, in one unit, with their sum."""
    assert weight_units(weights, levels) == wanted


@given(st.integers(-(10**15), 10**15), st.sampled_from((100, 250, 1_000, 60_000)))
def test_an_instant_belongs_to_the_bucket_that_ends_next(instant: int, width: int) -> None:
    """Buckets are `(t - width, t]`: an instant on a boundary ends its own bucket."""
    frame = pl.DataFrame({"x": pl.Series([instant], dtype=pl.Int64)})
    end = frame.select(ceil_to(pl.col("x"), width))["x"].item()
    assert end % width == 0
    assert end - width < instant <= end
