"""Nothing looks ahead: what was received later changes no earlier row (docs/specification/index.md#promises, promise 5).

An outage is known only when it ends, with the first receipt after it: the ledger's gap then reaches back to where it
began, by design. So the gaps that are declared are the same in both datasets that are compared; what a later declaration may
change is a test of its own (docs/decisions/outages-known-at-their-end.md).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
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
from tests.strategies import SMALL_PARAMS, BookStep, Json, Market, OutageStep, Tape, TradeStep, markets

CAPTURES = Path(__file__).parents[3] / "shared" / "data"


LABELS = {"regime", "vol_bucket", "scenario_2x2"}
MAY_CHANGE = LABELS | {
    "cvd_flow", "cvd_flow_z", "score", "score_z", "consistency", "suspect", "gap_before", "cvd_complete", "recv_rate_tps",
}  # fmt: skip


def built(root: Path, frames: list[Json], params: Mapping[str, object], ledger: Sequence[Json] = ()) -> Settings:
    chosen = settings_for(root, params)
    write_spool(chosen.spool_dir, frames, ledger)
    build(chosen, workers=1)
    return chosen


def event_ms(frame: Json) -> int:
    """Return the earliest time of a frame that may become the time of its row."""
    data = frame["data"]
    assert isinstance(data, dict)
    times = [data.get("T"), data.get("E"), int(str(frame["recv_ns"])) // 1_000_000]
    return min(int(at) for at in times if at is not None)


def assert_nothing_looked_ahead(market: Market, share: float, root: Path) -> int:
    """Drop what was received after a share of the frames; return how many rows lie before the first event dropped.

    Both datasets have the gaps that were declared by then.
    """
    count = round(share * len(market.frames))
    known, dropped = market.frames[:count], market.frames[count:]
    from_ms = min(event_ms(frame) for frame in dropped)
    cut_ns = int(str(known[-1]["recv_ns"]))
    declared = [one for one in market.ledger if int(str(one["recv_ns"])) + 1_000_000 <= cut_ns]
    whole = frames_of(built(root / "whole", market.frames, market.params, declared).data_dir)
    early = frames_of(built(root / "early", known, market.params, declared).data_dir)
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
        assert_nothing_looked_ahead(market, share, Path(name))


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the real captures are not beside the project (../shared/data)")
@pytest.mark.parametrize("share", [0.2, 0.55, 0.9])
def test_a_real_market_does_not_look_ahead(share: float, tmp_path: Path) -> None:
    """Minutes of BTCUSDT across midnight, cut off at three moments."""
    frames = list(read_capture(CAPTURES / "derived" / "btcusdt_20240718-19.agg+depth10.gz", "BTCUSDT"))
    frames.sort(key=lambda frame: int(str(frame["recv_ns"])))
    compared = assert_nothing_looked_ahead(Market(frames, [], {}), share, tmp_path)
    assert compared > 5_000 * share


def with_outage() -> Tape:
    """Return a minute of trades and books with a trade outage of four seconds, in which the book goes on."""
    tape = Tape(1_767_608_220_000, "aggTrade", "depth5@100ms")
    for i in range(400):
        if i == 150:
            tape.outage(OutageStep(lasts_ms=2_000, stream="trade", events=3, repaired=False, ids_known=True))
        tape.book(BookStep(pause_ms=60, ticks=i % 3 - 1, resized=((i % 10, 5 + i % 17),), delay_ms=3))
        if not 150 <= i < 170:
            tape.trade(TradeStep(pause_ms=60, ticks=i % 5 - 2, lots=1 + i * i % 23, buy=i % 7 < 3, delay_ms=3))
    return tape


def test_an_outage_declared_later_changes_these_columns_and_no_other(tmp_path: Path) -> None:
    """Rows before it stay; from its start on only what depends on the trades that are missing may change."""
    tape = with_outage()
    params = {**SMALL_PARAMS, "BOOK_STREAMS": "depth5@100ms"}
    (outage,) = tape.ledger
    before = pl.col("ts_ms") <= int(str(outage["start_ms"]))
    undeclared = frames_of(built(tmp_path / "undeclared", tape.frames, params).data_dir)
    declared = frames_of(built(tmp_path / "declared", tape.frames, params, tape.ledger).data_dir)
    changed: set[str] = set()
    for kind in KINDS:
        left, right = undeclared[kind], declared[kind]
        assert_frame_equal(left.filter(before), right.filter(before), check_exact=True)
        if kind != "events":
            assert left.height == right.height
            changed |= {name for name in left.columns if not left[name].equals(right[name], null_equal=True)}
    assert changed <= MAY_CHANGE, sorted(changed - MAY_CHANGE)
    assert "cvd_flow" in changed
    claimed, known = undeclared["fusion"]["cvd_flow"], declared["fusion"]["cvd_flow"]
    assert 0.0 in claimed.filter(known.is_null()).to_list(), "a row in the undeclared outage claims what was received"
