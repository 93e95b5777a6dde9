"""Trade sizes of the simulated market: as broad as on real captures, so that the hybrid scale has both its branches."""

from __future__ import annotations

from collections import deque
from statistics import median

import numpy as np
import pytest

from ofi_cvd.simulator.engine import Engine

HOUR_STEPS = 36_000


@pytest.fixture(scope="module", params=["BTCUSDT", "ADAUSDT"])
def trades(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """An hour and a half of one symbol's trades: times in seconds, sizes in lots."""
    engine = Engine(request.param, 7, 1_767_571_200_000)
    blocks = [engine.advance(HOUR_STEPS // 2).trades for _ in range(3)]
    return np.concatenate([block.time_ms for block in blocks]) / 1000, np.concatenate([block.lots for block in blocks])


def test_sizes_have_the_tails_of_real_captures(trades: tuple[np.ndarray, np.ndarray]) -> None:
    """On real captures the mean is 10 to 14 times the median, the 99th percentile 160 to 230 times."""
    _, lots = trades
    typical = np.median(lots)
    assert 9 < lots.mean() / typical < 16
    assert 100 < np.quantile(lots, 0.99) / typical < 260
    assert 0.1 < np.quantile(lots, 0.25) / typical < 0.5


def test_the_floor_decides_the_scale_now_and_then(trades: tuple[np.ndarray, np.ndarray]) -> None:
    """A slow loop over the formula of `scale`: the floor acts for a few trades in a hundred, not for all of them."""
    times, lots = trades
    recent: deque[float] = deque(maxlen=300)
    sums, counts = {60.0: 0.0, 600.0: 0.0}, {60.0: 0.0, 600.0: 0.0}
    used = seen = 0
    before = times[0]
    for i, (at, size) in enumerate(zip(times.tolist(), lots.tolist(), strict=True)):
        for half_life in sums:
            decay = 0.5 ** ((at - before) / half_life)
            sums[half_life] *= decay
            counts[half_life] *= decay
        before = at
        if i >= 300 and i % 5 == 0:
            mix = 0.2 * sums[60.0] / counts[60.0] + 0.8 * sums[600.0] / counts[600.0]
            used += 1.8 * 1.4826 * median(recent) >= mix
            seen += 1
        for half_life in sums:
            sums[half_life] += size
            counts[half_life] += 1
        recent.append(size)
    assert 0 < used / seen < 0.15
