"""Buckets, trailing windows and quantiles: exact sums, one division at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


def ceil_to(x: int, width: int) -> int:
    """Return the end of the bucket `(t - width, t]` that the instant `x` belongs to."""
    return -(-x // width) * width


def clip(x: float, limit: float) -> float:
    """Return `x`, but never further than `limit` from zero."""
    return max(-limit, min(limit, x))


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of squares of a window, exact."""

    n: int
    total: Fraction
    squares: Fraction

    @property
    def mean(self) -> Fraction:
        """Return the mean."""
        return self.total / self.n

    @property
    def std(self) -> float:
        """Return the sample standard deviation (ddof = 1): exactly 0 for equal values."""
        return math.sqrt((self.squares - self.total * self.total / self.n) / (self.n - 1))


def trailing_moments(times: Sequence[int], values: Sequence[Fraction], win_ms: int) -> list[Moments]:
    """Return, for each row at t, the moments of the rows in `[t - win, t)`; rows are in time order."""
    out = []
    total = squares = Fraction(0)
    entered = left = 0
    for t in times:
        while times[entered] < t:
            total += values[entered]
            squares += values[entered] ** 2
            entered += 1
        while left < entered and times[left] < t - win_ms:
            total -= values[left]
            squares -= values[left] ** 2
            left += 1
        out.append(Moments(entered - left, total, squares))
    return out


@dataclass(frozen=True)
class Standing:
    """Where a value stands among the values before it: `z` and the `scale` it was measured with."""

    z: float | None
    scale: float | None


UNKNOWN = Standing(z=None, scale=None)


def trailing_z(
    times: Sequence[int],
    values: Sequence[Fraction | float | None],
    *,
    win_secs: int,
    min_rows: int,
    min_secs: int,
    limit: float,
) -> list[Standing]:
    """Return the z of every value against its trailing window, current excluded.  Nulls are not rows."""
    known = [(t, Fraction(x)) for t, x in zip(times, values, strict=True) if x is not None]
    windows = iter(trailing_moments([t for t, _ in known], [x for _, x in known], win_secs * 1_000))
    out = []
    for t, x in zip(times, values, strict=True):
        if x is None:
            out.append(UNKNOWN)
            continue
        window = next(windows)
        young = t - known[0][0] < min_secs * 1_000
        out.append(UNKNOWN if young else standing(Fraction(x), window, min_rows=min_rows, limit=limit))
    return out


def standing(x: Fraction, window: Moments, *, min_rows: int, limit: float) -> Standing:
    """Return the clipped z of `x` against a window; null below `min_rows` rows, z null if the scale is 0."""
    if window.n < max(min_rows, 2):
        return UNKNOWN
    if window.std == 0:
        return Standing(z=None, scale=0.0)
    return Standing(z=clip(float(x - window.mean) / window.std, limit), scale=window.std)


def quantile(ordered: Sequence[float], q: Fraction) -> float:
    """Return the quantile `q` of sorted values, linearly interpolated."""
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    if position == below:
        return ordered[below]
    return ordered[below] + (ordered[below + 1] - ordered[below]) * float(position - below)
