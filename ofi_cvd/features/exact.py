"""Exact arithmetic: quantities as integers of 1e-8, one float division at the end.

See docs/specification/index.md#exact-sums.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import polars as pl

UNITS: Final = 100_000_000
"""Integer units in one base or quote asset."""

SCORE_UNITS: Final = 2**50
"""Integer units in a score of 1: a z-score's own window sums must be exact too."""


def units(column: str) -> pl.Expr:
    """Return a `Decimal(38, 8)` column as Int128 units of 1e-8; null stays null."""
    return pl.col(column).to_physical()


def negated(value: pl.Expr) -> pl.Expr:
    """Return `-value` of Int128 units: Polars has no unary minus for that type."""
    return pl.lit(0, dtype=pl.Int128) - value


def ratio(numerator: pl.Expr, denominator: int) -> pl.Expr:
    """Return `numerator / denominator` as Float64, correctly rounded below 2**53; null stays null.

    Polars multiplies by the reciprocal when it divides by a scalar, which is off in the last bit for one value in
    four; a divisor that is a column is divided by.
    """
    value = numerator.cast(pl.Float64)
    return value / (value * 0.0 + float(denominator))


def weight_units(weights: tuple[str, ...], levels: int) -> tuple[list[int], int]:
    """Return the first `levels` weights as integers and their sum, so that renormalising is one division.

    Weights that are not given are 0.

    Example:
        >>> weight_units(("0.40", "0.25", "0.2"), 2)
        ([40, 25], 65)
    """
    exact = [Decimal(weight) for weight in weights]
    places = max(0, *(-int(weight.as_tuple().exponent) for weight in exact))
    whole = [int(weight.scaleb(places)) for weight in exact][:levels]
    return whole + [0] * (levels - len(whole)), sum(whole)


def ceil_to(instant: pl.Expr, width_ms: int) -> pl.Expr:
    """Return the end of the bucket `(t - width, t]` that an instant belongs to.

    See docs/specification/index.md#exact-sums.
    """
    return -(-instant).floordiv(width_ms) * width_ms
