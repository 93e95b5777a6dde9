"""The running sum and its scales over many hours of one symbol."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets import assert_same_tables, build_frames
from tests.oracles import oracle_dataset
from tests.strategies import MIDNIGHT_MS, SMALL_PARAMS, Json

HOUR_MS = 3_600_000


def trade(at_ms: int, trade_id: int, qty: str, *, sold: bool) -> Json:
    data: Json = {"e": "aggTrade", "E": at_ms, "s": "BTCUSDT", "a": trade_id, "p": "100.0", "q": qty}
    data |= {"f": trade_id, "l": trade_id, "T": at_ms, "m": sold}
    return {"recv_ns": (at_ms + 5) * 1_000_000, "conn": "m1", "stream": "btcusdt@aggTrade", "data": data}


@pytest.mark.parametrize("reset", ["utc_day", "never"])
def test_a_long_window_of_levels_ends_at_the_reset(reset: str, tmp_path: Path) -> None:
    """Three hours of window across midnight: in the second hour of the day it still holds trades since midnight only."""
    frames = [
        trade(MIDNIGHT_MS - HOUR_MS + i * 400_000, 500 + i, f"{1 + i * i % 17}.5", sold=i % 3 == 1) for i in range(40)
    ]
    params = {**SMALL_PARAMS, "Z_MODE": "level", "Z_WIN_SECS": 10_800, "CVD_RESET": reset}
    found = build_frames(tmp_path, frames, (), params)
    assert len({row["ts_ms"] // HOUR_MS for row in found["cvd"]}) == 5
    assert_same_tables(found, oracle_dataset(frames, (), params))
