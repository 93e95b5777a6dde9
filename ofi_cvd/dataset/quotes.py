"""The price a signal is judged against: what could be bought after it was known, and what that was worth later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ofi_cvd.dataset.arrays import Bools, Floats, Ints

BPS = 1e4


@dataclass(frozen=True)
class Gaps:
    """Closed-open stretches in which a symbol's data has a hole: `starts` before the hole, `ends` at the first row after it.

    Both arrays are sorted and the stretches are disjoint. A hole may lie anywhere in `(start, end]`.
    """

    starts: Ints
    ends: Ints

    def crossed(self, after_ms: Ints, until_ms: Ints) -> Bools:
        """Return where the interval `(after, until]` meets a stretch `(start, end]`."""
        if not self.starts.size:
            return np.zeros(len(after_ms), dtype=np.bool_)
        following = np.searchsorted(self.ends, after_ms, side="right")  # the first stretch that ends after `after`
        exists = following < self.starts.size
        start = self.starts[np.minimum(following, self.starts.size - 1)]
        return np.asarray(exists & (start < until_ms), dtype=np.bool_)


def merge_gaps(starts: Ints, ends: Ints) -> Gaps:
    """Return stretches in any order as sorted disjoint ones."""
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order]) if ends.size else ends
    if not starts.size:
        return Gaps(starts, ends)
    fresh = np.r_[True, starts[1:] > ends[:-1]]
    last = np.r_[np.flatnonzero(fresh)[1:] - 1, starts.size - 1]
    return Gaps(starts[fresh], ends[last])


def suspect_gaps(times: Ints, suspect: Bools, win_ms: int) -> Gaps:
    """Return where gaps of the data ended, read from the published `suspect` flag.

    The flag is true for `win_ms` after a gap ended
    (docs/specification/tables.md), so each run of it starts with one. A run longer than `win_ms` hides
    further gaps inside; its last one ended `win_ms` before the run did, and everything up to there counts as a gap: a label
    may be lost by that, never kept wrongly. A gap began somewhere after the row before it.
    """
    if not times.size or not suspect.any():
        return Gaps(np.empty(0, np.int64), np.empty(0, np.int64))
    edges = np.diff(np.r_[np.int8(0), suspect.astype(np.int8), np.int8(0)])
    first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    onset = times[first]
    before = np.where(first > 0, np.minimum(times[np.maximum(first - 1, 0)], onset - 1), onset - 1)
    return merge_gaps(before, np.maximum(onset, times[last] - win_ms))


def id_gaps(times: Ints, is_behind_gap: Bools) -> Gaps:
    """Return where trades are missing by id: from the trade before to the trade that says so."""
    at = np.flatnonzero(is_behind_gap)
    before = np.where(at > 0, np.minimum(times[np.maximum(at - 1, 0)], times[at] - 1), times[at] - 1)
    return merge_gaps(before, times[at])


def join_gaps(one: Gaps, other: Gaps) -> Gaps:
    """Return the union of two sets of stretches."""
    return merge_gaps(np.r_[one.starts, other.starts], np.r_[one.ends, other.ends])


@dataclass(frozen=True)
class Quotes:
    """The quotes of one symbol in time order: mid or trade price, as natural logarithm."""

    times: Ints
    log_price: Floats
    gaps: Gaps

    def forward(self, times: Ints, horizon_ms: int) -> Floats:
        """Return the log return from the first quote strictly after t to the last quote at or before t + horizon.

        NaN where the horizon is not covered (no quote in `(t, t + horizon]`, or the data ends before its end) or crosses a gap.
        Positive where the price rose. Nothing known at t is part of it: the quote at t itself is not tradable any more.
        """
        until = times + horizon_ms
        entry = np.searchsorted(self.times, times, side="right")
        leave = np.searchsorted(self.times, until, side="right") - 1
        known = (entry <= leave) & ~self.gaps.crossed(times, until)
        known &= until <= (self.times[-1] if self.times.size else -1)
        result = np.full(len(times), np.nan)
        result[known] = self.log_price[leave[known]] - self.log_price[entry[known]]
        return result

    def backward(self, times: Ints, span_ms: int) -> Floats:
        """Return the log return from t - span to the first quote strictly after t, negated: the path before an event.

        It has the base of `forward`, so that the two join to one path. NaN where not covered or across a gap.
        """
        since = times - span_ms
        entry = np.searchsorted(self.times, times, side="right")
        early = np.searchsorted(self.times, since, side="right") - 1
        known = (entry < self.times.size) & (early >= 0) & ~self.gaps.crossed(since, times)
        result = np.full(len(times), np.nan)
        result[known] = self.log_price[early[known]] - self.log_price[entry[known]]
        return result

    def at(self, times: Ints) -> Floats:
        """Return the log price of the last quote at or before each time; NaN before the first and after the last quote."""
        index = np.searchsorted(self.times, times, side="right") - 1
        known = (index >= 0) & (times <= (self.times[-1] if self.times.size else -1))
        result = np.full(len(times), np.nan)
        result[known] = self.log_price[index[known]]
        return result
