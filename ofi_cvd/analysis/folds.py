"""Walk-forward splits: what is learned is learned from the past and judged on what came later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ofi_cvd.dataset.arrays import Ints


@dataclass(frozen=True)
class Fold:
    """Row ranges of one split: rows `[0, train)` teach, rows `[test_from, test_to)` are judged."""

    number: int
    train: int
    test_from: int
    test_to: int
    start_ms: int


def walk_forward(times: Ints, horizon_ms: int, folds: int, *, min_train: int = 100) -> Iterator[Fold]:
    """Cut the span of `times` (sorted) into `folds` equal stretches; yield each but the first with all of its past.

    A training row's label ends at or before the stretch begins (`t + horizon <= start`): the embargo of the horizon. Without
    it the label of the last training rows would be made of the prices that are to be predicted. A stretch whose past has
    fewer than `min_train` rows is not judged.
    """
    if not times.size:
        return
    first, last = int(times[0]), int(times[-1]) + 1
    bounds = [first + (last - first) * k // folds for k in range(folds + 1)]
    for number in range(1, folds):
        start, end = bounds[number], bounds[number + 1]
        train = int(np.searchsorted(times, start - horizon_ms, side="right"))
        test_from, test_to = (int(i) for i in np.searchsorted(times, [start, end], side="left"))
        if train >= min_train and test_to > test_from:
            yield Fold(number, train, test_from, test_to, start)
