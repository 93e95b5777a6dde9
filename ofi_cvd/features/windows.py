"""Trailing windows: a value is compared with everything in `[t - W, t)`, the current moment excluded with all its ties.

The moments of a window are exact integers. Three things follow: a window of equal values has a deviation of exactly 0,
a value that has left the window leaves no residue behind, and no result depends on where the summation began.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import polars as pl

from ofi_cvd.features.exact import ratio
from ofi_cvd.settings import Settings

_REACH: Final = 2**63
"""`n max|x|` below this keeps `n sum(x^2)` and `(sum x)^2` below 2**126: inside an Int128, with a bit to spare."""


@dataclass(frozen=True)
class ZRule:
    """The rule of every z-score: trailing window, warm-up, clip."""

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
    exact integers, whatever their size.

    Args:
        frame: rows sorted by `by`.
        value: an Int128 column.
        by: the time column in ms, without nulls.
        window_ms: W.
    """

    def measure(rows: pl.DataFrame) -> pl.DataFrame:
        moments = window_moments(rows[value], rows[by], window_ms)
        return rows.with_columns(moments.rename(lambda name: f"{value}_{name}"))

    moments = {f"{value}_rows": pl.Int64(), f"{value}_sum": pl.Int128(), f"{value}_spread": pl.Float64()}
    schema = pl.Schema({**frame.collect_schema(), **moments})
    return frame.map_batches(measure, schema=schema)


def window_moments(values: pl.Series, times: pl.Series, window_ms: int) -> pl.DataFrame:
    """Return `rows`, `sum` and `spread` of the values in each row's window."""
    x = pl.col("x")

    def over(term: pl.Expr) -> pl.Expr:
        return term.rolling_sum_by("t", f"{window_ms}i", closed="left").fill_null(0)

    moments = pl.DataFrame({"x": values, "t": times}).select(
        over(x.is_not_null().cast(pl.Int64)).alias("rows"), over(x).alias("sum"), over(x * x).alias("squares")
    )
    if _largest(values) * _largest(moments["rows"]) < _REACH:
        exact = pl.col("rows").cast(pl.Int128) * pl.col("squares") - pl.col("sum") * pl.col("sum")
        return moments.select("rows", "sum", spread=exact.cast(pl.Float64))
    # The squares have wrapped around, and nothing would have said so.
    return moments.select("rows", "sum", _huge_spread(values, times, window_ms))


def _largest(values: pl.Series) -> int:
    return max((abs(int(end)) for end in (values.min(), values.max()) if isinstance(end, int)), default=0)


def _huge_spread(values: pl.Series, times: pl.Series, window_ms: int) -> pl.Series:
    """Return the spread of values whose squares leave an Int128: the same sums, in integers without a size.

    A window is a run of rows, so that its sum is the difference of two running sums.
    """
    terms, at = [value or 0 for value in values.to_list()], times.to_list()
    count = list(accumulate((value is not None for value in values.to_list()), initial=0))
    total = list(accumulate(terms, initial=0))
    squares = list(accumulate((term * term for term in terms), initial=0))
    spreads = []
    for now in at:
        first, behind = bisect_left(at, now - window_ms), bisect_left(at, now)
        n, s, q = (sums[behind] - sums[first] for sums in (count, total, squares))
        spreads.append(float(n * q - s * s))
    return pl.Series("spread", spreads, dtype=pl.Float64)


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
    # (x - S/n) / sqrt(V / (n (n-1))) with V = n sum(x^2) - S^2: one subtraction of integers, so nothing cancels in floats.
    off = (rows.cast(pl.Int128) * pl.col(value) - pl.col(f"{value}_sum")).cast(pl.Float64)
    z = off * ((rows - 1) / rows.cast(pl.Float64)).sqrt() / spread.sqrt()
    known = _is_warm(rows, by, rule, first_ms) & (spread > 0)
    return pl.when(known).then(z.clip(-rule.limit, rule.limit))


def _is_warm(rows: pl.Expr, by: str, rule: ZRule, first_ms: pl.Expr) -> pl.Expr:
    return (rows >= rule.min_rows) & (pl.col(by) - first_ms >= rule.min_age_ms)
