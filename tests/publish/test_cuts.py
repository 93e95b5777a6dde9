"""However the spool was cut into pieces and the process died, the rows are those of one uninterrupted build.

See docs/specification/index.md#promises, docs/specification/hours.md.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ofi_cvd.publish.run import build
from ofi_cvd.settings import Settings
from tests.datasets import settings_for
from tests.publish.pieces import (
    PHASES,
    Growing,
    Killed,
    Piece,
    assert_no_strays,
    assert_same_rows,
    cut,
    killed_at,
    stretched,
)
from tests.spool_files import write_spool
from tests.strategies import Market, markets


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What is done after a piece: nothing, a live build, or a batch build, in slices of some length.

    Attributes:
        kind: of build.
        slice_secs: of its slices.
        forgets: the checkpoint and the states are deleted before.
        dies_at: the touch of the disk the build dies at; None if it lives.
    """

    kind: str
    slice_secs: int = 3600
    forgets: bool = False
    dies_at: int | None = None


TURNS = st.builds(
    Turn,
    kind=st.sampled_from(("live", "batch", "none")),
    slice_secs=st.sampled_from((5, 60, 3600)),
    forgets=st.sampled_from((False, False, False, True)),
    dies_at=st.none() | st.integers(1, 120),
)
SHARES = st.floats(0, 1, allow_nan=False)
TORN = st.sampled_from((0.0, 0.0, 0.3, 0.9))
JUMPS = st.lists(st.tuples(SHARES, st.integers(1, 3)), max_size=2)


def take(turn: Turn, chosen: Settings, root: Path) -> None:
    """Take one turn; a killed build leaves what it left."""
    if turn.forgets:
        shutil.rmtree(chosen.state_dir, ignore_errors=True)
    if turn.kind == "none" or not any(chosen.spool_dir.rglob(f"{chosen.symbols[0]}.*")):
        return
    with contextlib.suppress(Killed), contextlib.ExitStack() as stack:
        if turn.dies_at is not None:
            stack.enter_context(killed_at(turn.dies_at, root))
        build(chosen, slice_secs=turn.slice_secs, live=turn.kind == "live", workers=1)


def assert_cut_changes_nothing(market: Market, pieces: list[Piece], turns: list[Turn], last: Turn) -> None:
    with tempfile.TemporaryDirectory() as name:
        root, whole = Path(name) / "cut", Path(name) / "whole"
        chosen, wanted = settings_for(root, market.params), settings_for(whole, market.params)
        spool = Growing(chosen.spool_dir)
        for i, piece in enumerate(pieces):
            spool.add(piece)
            if i < len(turns):
                take(turns[i], chosen, root)
        take(last, chosen, root)
        build(chosen, slice_secs=last.slice_secs, workers=1)
        write_spool(wanted.spool_dir, market.frames, market.ledger)
        build(wanted, workers=1)
        assert_same_rows(chosen, wanted)
        assert_no_strays(chosen)


@given(markets(), st.lists(SHARES, max_size=4), st.lists(TORN, max_size=5), st.lists(TURNS, max_size=5), TURNS)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
def test_any_cutting_and_any_deaths_give_the_rows_of_one_build(
    market: Market, places: list[float], torn: list[float], turns: list[Turn], last: Turn
) -> None:
    """A market of a minute around the end of an hour or a day, in up to five pieces."""
    assume(market.frames)
    assert_cut_changes_nothing(market, cut(market, places, torn), turns, last)


@given(markets(max_size=50), JUMPS, st.booleans(), st.lists(SHARES, max_size=4), st.lists(TURNS, max_size=5), TURNS)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
def test_any_cutting_with_silent_hours(
    market: Market,
    jumps: list[tuple[float, int]],
    frames_whole: bool,
    places: list[float],
    turns: list[Turn],
    last: Turn,
) -> None:
    """Silences of hours, and frames received hours after what they tell of."""
    assume(market.frames)
    long = stretched(market, jumps, frames_whole=frames_whole)
    assert_cut_changes_nothing(long, cut(long, places), turns, last)
