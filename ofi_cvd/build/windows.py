"""Trailing windows: what a value is compared with is everything in `[t - W, t)`, the current moment excluded (SPEC 1, 5)."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ofi_cvd.build.exact import ratio
from ofi_cvd.config import Settings

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


def trailing_count(value: pl.Expr, by: str, window_ms: int) -> pl.Expr:
    """Return how many non-null values lie in `[t - W, t)`; 0 for none."""
    present = value.is_not_null().cast(pl.Int64)
    return present.rolling_sum_by(by, f"{window_ms}i", closed="left").fill_null(0)


def trailing_scale(value: pl.Expr, by: str, rule: ZRule, *, unit: int, first_ms: pl.Expr) -> pl.Expr:
    """Return the sample standard deviation of the trailing values; null in warm-up.

    Args:
        value: integer (Int128) values in units of `1/unit`.
        by: the sorted time column in ms.
        rule: window and warm-up.
        unit: units in 1.
        first_ms: time of the symbol's first row.
    """
    rows = trailing_count(value, by, rule.window_ms)
    spread = _spread(value, by, rule.window_ms)
    deviation = (spread / (rows * (rows - 1)).cast(pl.Float64)).sqrt()
    return pl.when(_is_warm(rows, by, rule, first_ms)).then(ratio(deviation, unit))


def trailing_z(value: pl.Expr, by: str, rule: ZRule, *, first_ms: pl.Expr) -> pl.Expr:
    """Return `(value - mean) / standard deviation` of the trailing values, clipped; null in warm-up or where it is 0/0.

    The unit of `value` cancels. Arguments as in `trailing_scale`.
    """
    rows = trailing_count(value, by, rule.window_ms)
    spread = _spread(value, by, rule.window_ms)
    # (x - S/n) / sqrt(V / (n (n-1))) with V = n sum(x^2) - S^2
    off = (rows.cast(pl.Int128) * value - _sum(value, by, rule.window_ms)).cast(pl.Float64)
    z = off * ((rows - 1) / rows.cast(pl.Float64)).sqrt() / spread.sqrt()
    known = _is_warm(rows, by, rule, first_ms) & (spread > 0)
    return pl.when(known).then(z.clip(-rule.limit, rule.limit))


def _is_warm(rows: pl.Expr, by: str, rule: ZRule, first_ms: pl.Expr) -> pl.Expr:
    return (rows >= rule.min_rows) & (pl.col(by) - first_ms >= rule.min_age_ms)


def _sum(value: pl.Expr, by: str, window_ms: int) -> pl.Expr:
    return value.rolling_sum_by(by, f"{window_ms}i", closed="left").fill_null(0)


def _spread(value: pl.Expr, by: str, window_ms: int) -> pl.Expr:
    """Return `n sum(x^2) - (sum x)^2` as Float64: exact integers inside, 0 for a constant, no residue of the past."""
    rows = trailing_count(value, by, window_ms).cast(pl.Int128)
    largest = value.abs().cast(pl.Float64).rolling_max_by(by, f"{window_ms}i", closed="left").fill_null(0.0)

    def exact(x: pl.Expr) -> pl.Expr:
        return (rows * _sum(x * x, by, window_ms) - _sum(x, by, window_ms).pow(2)).cast(pl.Float64)

    coarse = exact(value.floordiv(_COARSE)) * float(_COARSE) ** 2
    return pl.when(rows.cast(pl.Float64) * largest < _REACH).then(exact(value)).otherwise(coarse)
