"""Nothing looks ahead: what was received later changes no earlier row (docs/specification/index.md#promises, promise 5).

An outage is known only when it ends, with the first receipt after it: the ledger's gap then reaches back to where it
began, by design. So the markets here have no ledger gaps; holes in the ids and breaks in the chain of the book they have.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ofi_cvd.publish.run import build
from ofi_cvd.schemas import KINDS
from ofi_cvd.settings import Settings
from tests.datasets import frames_of, settings_for
from tests.oracles import read_capture
from tests.publish.pieces import PHASES, stretched
from tests.spool_files import write_spool
from tests.strategies import Json, Market, markets

CAPTURES = Path(__file__).parents[3] / "shared" / "data"


def built(root: Path, frames: list[Json], params: Mapping[str, object]) -> Settings:
    chosen = settings_for(root, params)
    write_spool(chosen.spool_dir, frames)
    build(chosen, workers=1)
    return chosen


def event_ms(frame: Json) -> int:
    """Return the earliest time of a frame that may become the time of its row."""
    data = frame["data"]
    assert isinstance(data, dict)
    times = [data.get("T"), data.get("E"), int(str(frame["recv_ns"])) // 1_000_000]
    return min(int(at) for at in times if at is not None)


def assert_nothing_looked_ahead(market: Market, share: float, root: Path) -> int:
    """Drop what was received after a share of the frames; return how many rows lie before the first event dropped."""
    count = round(share * len(market.frames))
    known, dropped = market.frames[:count], market.frames[count:]
    from_ms = min(event_ms(frame) for frame in dropped)
    whole = frames_of(built(root / "whole", market.frames, market.params).data_dir)
    early = frames_of(built(root / "early", known, market.params).data_dir)
    # The 1 s grid ends with the last event known: what a silence confirms, such as a pivot, is known once it is over.
    known_ms = max((int(str(early[kind]["ts_ms"].max() or 0)) for kind in ("prices", "ofi")), default=0)
    before = (pl.col("ts_ms") < from_ms) & (pl.col("ts_ms") <= -(-known_ms // 1000) * 1000)
    for kind in KINDS:
        assert_frame_equal(early[kind].filter(before), whole[kind].filter(before), check_exact=True)
    return sum(whole[kind].filter(before).height for kind in KINDS)


@given(markets(), st.floats(0.1, 0.95), st.sampled_from((0, 0, 1)))
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
def test_frames_received_later_change_no_earlier_row(market: Market, share: float, silence: int) -> None:
    """Any market; a cut where nothing is dropped, or everything, says nothing."""
    market = stretched(market, [(0.6, silence)] if silence else [])
    assume(0 < round(share * len(market.frames)) < len(market.frames))
    with tempfile.TemporaryDirectory() as name:
        assert_nothing_looked_ahead(replace(market, ledger=[]), share, Path(name))


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the real captures are not beside the project (../shared/data)")
@pytest.mark.parametrize("share", [0.2, 0.55, 0.9])
def test_a_real_market_does_not_look_ahead(share: float, tmp_path: Path) -> None:
    """Minutes of BTCUSDT across midnight, cut off at three moments."""
    frames = list(read_capture(CAPTURES / "derived" / "btcusdt_20240718-19.agg+depth10.gz", "BTCUSDT"))
    frames.sort(key=lambda frame: int(str(frame["recv_ns"])))
    compared = assert_nothing_looked_ahead(Market(frames, [], {}), share, tmp_path)
    assert compared > 5_000 * share
