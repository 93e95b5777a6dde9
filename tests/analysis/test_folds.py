"""Walk-forward splits keep the future out of what is learned."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ofi_cvd.analysis.buckets import place
from ofi_cvd.analysis.folds import walk_forward
from ofi_cvd.analysis.scores import chances_of_up


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=300), st.integers(1, 20_000), st.integers(2, 8))
def test_a_training_label_ends_before_its_stretch_begins(raw: list[int], horizon: int, folds: int) -> None:
    times = np.array(sorted(raw), dtype=np.int64)
    last = -1
    for fold in walk_forward(times, horizon, folds, min_train=1):
        assert (times[: fold.train] + horizon <= fold.start_ms).all()
        assert (times[fold.test_from : fold.test_to] >= fold.start_ms).all()
        assert fold.train <= fold.test_from
        assert fold.test_from >= last  # no row is judged twice
        last = fold.test_to


def test_every_row_after_the_first_stretch_is_judged_once() -> None:
    times = np.arange(0, 10_000, 10, dtype=np.int64)
    judged = np.zeros(1000, dtype=int)
    for fold in walk_forward(times, 50, 5):
        judged[fold.test_from : fold.test_to] += 1
    assert judged[:200].sum() == 0
    assert (judged[200:] == 1).all()


def test_no_rows_no_splits() -> None:
    assert list(walk_forward(np.empty(0, np.int64), 10, 5)) == []


def test_the_future_changes_nothing_that_was_learned() -> None:
    """Chances and quintiles of the first judged stretches stay when the rows after them are replaced."""
    random = np.random.default_rng(0)
    times = np.arange(2000, dtype=np.int64) * 1000
    signal, forward = random.normal(size=2000), random.normal(size=2000)
    split = list(walk_forward(times, 5000, 5))
    cut = split[1].test_to
    other_signal, other_forward = signal.copy(), forward.copy()
    other_signal[cut:] = 100.0 + random.normal(size=2000 - cut)
    other_forward[cut:] = -5.0
    before, after = chances_of_up(signal, forward, split), chances_of_up(other_signal, other_forward, split)
    np.testing.assert_array_equal(before[:cut], after[:cut])
    one, two = place(signal, split), place(other_signal, split)
    np.testing.assert_array_equal(one.quintile[:cut], two.quintile[:cut])
    np.testing.assert_array_equal(one.top[:cut], two.top[:cut])


def test_labels_inside_the_embargo_teach_nothing() -> None:
    """Forward returns of rows whose label reaches into the stretch may be anything: the fit does not see them."""
    random = np.random.default_rng(1)
    times = np.arange(1000, dtype=np.int64) * 1000
    signal, forward = random.normal(size=1000), random.normal(size=1000)
    split = [next(iter(walk_forward(times, 30_000, 5)))]
    poisoned = forward.copy()
    poisoned[split[0].train : split[0].test_from] = 1e6 * np.sign(signal[split[0].train : split[0].test_from])
    assert split[0].test_from - split[0].train == 30  # rows 170..199: their labels end after 199.8 s
    np.testing.assert_array_equal(chances_of_up(signal, forward, split), chances_of_up(signal, poisoned, split))
