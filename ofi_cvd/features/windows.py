"""Trailing windows: what a value is compared with is everything in `[t - W, t)`, the current moment excluded (SPEC 1, 5)."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ofi_cvd.features.exact import ratio
from ofi_cvd.settings import Settings

_COARSE = 2**24  # a window whose squares would overflow is measured in units this much larger
_REACH = 2.0**63  # n * max|x| below this keeps n * sum(x^2) inside an Int128


@dataclass(frozen=True)
class ZRule:
    """The rule of every z-score (SPEC 5): trailing window, warm-up, clip."""

    window_ms: int
    min_rows: int
    min_age_ms: int
    limit: float

    @classmethod
    def of(cls, settings: Settings) -> ZRule:
        """Return the rule the settings ask for."""
        return cls(settings.z_win_secs * 1000, settings.z_min_rows, settings.z_min_secs * 1000, settings.winsor_limit)


def with_moments(frame: pl.LazyFrame, value: str, by: str, window_ms: int) -> pl.LazyFrame:
    """Return a frame with the moments of the integer column `value` over `[t - W, t)`; nulls are not rows.

    `<value>_rows`: how many; `<value>_sum`: their exact sum; `<value>_spread`: `n sum(x^2) - (sum x)^2` as Float64, from
    exact integers: 0 for a constant, and no residue of what has left the window.
    """
    rows, total, largest, squares = (f"{value}_{name}" for name in ("rows", "sum", "largest", "squares"))
    coarse, coarse_total, coarse_squares = (f"{value}_{name}" for name in ("coarse", "coarse_sum", "coarse_squares"))
    x = pl.col(value)

    def over(term: pl.Expr) -> pl.Expr:
        return term.rolling_sum_by(by, f"{window_ms}i", closed="left").fill_null(0)

    def spread(n: pl.Expr, sum_of_squares: str, sum_of_values: str) -> pl.Expr:
        return (n * pl.col(sum_of_squares) - pl.col(sum_of_values) * pl.col(sum_of_values)).cast(pl.Float64)

    many = pl.col(rows).cast(pl.Int128)
    fits = many.cast(pl.Float64) * pl.col(largest) < _REACH
    # Steps rather than one expression: the planner would look at every repetition of it.
    return (
        frame.with_columns(
            over(x.is_not_null().cast(pl.Int64)).alias(rows),
            x.abs().cast(pl.Float64).rolling_max_by(by, f"{window_ms}i", closed="left").fill_null(0.0).alias(largest),
            (x * x).alias(squares),
            x.floordiv(_COARSE).alias(coarse),
        )
        .with_columns(
            over(x).alias(total),
            over(pl.col(squares)).alias(squares),
            over(pl.col(coarse)).alias(coarse_total),
            over(pl.col(coarse) * pl.col(coarse)).alias(coarse_squares),
        )
        .with_columns(
            pl.when(fits)
            .then(spread(many, squares, total))
            .otherwise(spread(many, coarse_squares, coarse_total) * float(_COARSE) ** 2)
            .alias(f"{value}_spread")
        )
        .drop(largest, squares, coarse, coarse_total, coarse_squares)
    )


def trailing_scale(value: str, by: str, rule: ZRule, *, unit: int, first_ms: pl.Expr) -> pl.Expr:
    """Return the sample standard deviation of the trailing values; null in warm-up.

    Args:
        value: integer column in units of `1/unit`, with its moments.
        by: the sorted time column in ms.
        rule: window and warm-up.
        unit: units in 1.
        first_ms: time of the symbol's first row.
    """
    rows = pl.col(f"{value}_rows")
    deviation = (pl.col(f"{value}_spread") / (rows * (rows - 1)).cast(pl.Float64)).sqrt()
    return pl.when(_is_warm(rows, by, rule, first_ms)).then(ratio(deviation, unit))


def trailing_z(value: str, by: str, rule: ZRule, *, first_ms: pl.Expr) -> pl.Expr:
    """Return `(value - mean) / standard deviation` of the trailing values, clipped; null in warm-up or where it is 0/0.

    The unit of `value` cancels. Arguments as in `trailing_scale`.
    """
    rows, spread = pl.col(f"{value}_rows"), pl.col(f"{value}_spread")
    # (x - S/n) / sqrt(V / (n (n-1))) with V = n sum(x^2) - S^2
    off = (rows.cast(pl.Int128) * pl.col(value) - pl.col(f"{value}_sum")).cast(pl.Float64)
    z = off * ((rows - 1) / rows.cast(pl.Float64)).sqrt() / spread.sqrt()
    known = _is_warm(rows, by, rule, first_ms) & (spread > 0)
    return pl.when(known).then(z.clip(-rule.limit, rule.limit))


def _is_warm(rows: pl.Expr, by: str, rule: ZRule, first_ms: pl.Expr) -> pl.Expr:
    return (rows >= rule.min_rows) & (pl.col(by) - first_ms >= rule.min_age_ms)
