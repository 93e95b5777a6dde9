"""What arrives after its hour was published brings the dataset to what one build of the final spool gives.

See docs/specification/hours.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ofi_cvd.publish.compact import compact
from ofi_cvd.publish.run import build
from ofi_cvd.spool.seal import seal_closed_hours
from tests.datasets import settings_for
from tests.publish.pieces import PHASES, assert_no_strays, assert_same_rows, hashes, stretched
from tests.spool_files import HOUR_MS, write_spool
from tests.strategies import HOUR_END_MS, SMALL_PARAMS, BookStep, Json, Market, Tape, TradeStep, markets

HOURS = 5
STEP_MS = 120_000


def market(hours: int = HOURS) -> Market:
    """Return hours of a slow, steady market: a trade and a book update every two minutes."""
    tape = Tape(now_ms=HOUR_END_MS - 60_000 - STEP_MS, trade_stream="aggTrade", book_source="depth10@100ms")
    for i in range(hours * HOUR_MS // STEP_MS):
        lots, ticks = 1 + i * 7 % 31, (i * 5 % 7) - 3
        tape.play(TradeStep(pause_ms=STEP_MS - 500, ticks=ticks, lots=lots, buy=i % 3 > 0, delay_ms=20))
        tape.play(BookStep(pause_ms=500, ticks=0, resized=((i % 10, lots), (10 + i % 10, 3)), delay_ms=20))
    return Market(tape.frames, [], dict(SMALL_PARAMS) | {"Z_WIN_SECS": 900, "PIVOT_SPAN_SECS": 300, "WIN_SECS": 300})


def trades(frames: Sequence[Json]) -> list[Json]:
    return [frame for frame in frames if str(frame["stream"]).endswith("aggTrade")]


def as_repair(frame: Json, recv_ns: int) -> Json:
    """Return a trade as a later repair fetched it."""
    data = frame["data"]
    assert isinstance(data, dict)
    kept = {key: data[key] for key in ("a", "p", "q", "f", "l", "T", "m")}
    return {"recv_ns": recv_ns, "conn": "rest", "stream": frame["stream"], "data": kept}


def recv_ns(frame: Json) -> int:
    return int(str(frame["recv_ns"]))


class Place:
    """A dataset that was published, and the same built once from the final spool."""

    def __init__(self, root: Path, params: dict[str, object], slice_secs: int = 3600) -> None:
        self.slice_secs = slice_secs
        self.found, self.wanted = (settings_for(root / name, params) for name in ("found", "wanted"))

    def publish(self, frames: Sequence[Json], ledger: Sequence[Json] = ()) -> list[int]:
        """Add to the spool and build; return the hours that were computed, by their distance to the first end of hour."""
        write_spool(self.found.spool_dir, frames, ledger)
        computed: list[int] = []

        def note(_symbol: str, hour_ms: int, _hour: object) -> None:
            computed.append((hour_ms - HOUR_END_MS) // HOUR_MS)

        build(self.found, workers=1, slice_secs=self.slice_secs, progress=note)
        return computed

    def assert_as_built_once(self, frames: Sequence[Json], ledger: Sequence[Json] = ()) -> None:
        write_spool(self.wanted.spool_dir, frames, ledger)
        build(self.wanted, workers=1, slice_secs=self.slice_secs)
        assert_same_rows(self.found, self.wanted)
        assert_no_strays(self.found)


LATER = {"repaired": as_repair, "late": lambda frame, at: {**frame, "recv_ns": at}}


@pytest.mark.parametrize(
    ("hour", "how", "slice_secs", "compacted"),
    [
        (0, "repaired", 3600, False),
        (0, "late", 300, True),
        (2, "late", 3600, False),
        (2, "repaired", 300, True),
        (2, "repaired", 60, False),
        (4, "late", 300, False),
        (4, "repaired", 3600, False),
    ],
)
def test_trades_of_a_published_hour(hour: int, how: str, slice_secs: int, compacted: bool, tmp_path: Path) -> None:
    """Three trades of one hour come in when all hours are published, as repairs or as frames received late."""
    full = market()
    inside = [t for t in trades(full.frames) if HOUR_END_MS + hour * HOUR_MS <= recv_ns(t) // 1_000_000][10:13]
    end_ns = recv_ns(full.frames[-1])
    later = [LATER[how](frame, end_ns + i) for i, frame in enumerate(inside)]
    before = [frame for frame in full.frames if frame not in inside]
    place = Place(tmp_path, full.params, slice_secs)
    place.publish(before)
    if compacted:
        compact(place.found.data_dir, state_dir=place.found.state_dir)
    computed = place.publish(later)
    assert computed[0] == hour
    place.assert_as_built_once([*before, *later])


@pytest.mark.parametrize("steps", [1, 2, 4, 9])
def test_trades_of_an_hour_whose_compaction_was_killed(steps: int, tmp_path: Path) -> None:
    """Half-way between slices and an hour's part, with what is left of both."""
    full = market(4)
    lost = next(t for t in trades(full.frames) if recv_ns(t) // 1_000_000 > HOUR_END_MS + 600_000)
    before = [frame for frame in full.frames if frame is not lost]
    place = Place(tmp_path, full.params, 900)
    place.publish(before)
    done: list[str] = []

    def step(name: str) -> None:
        done.append(name)
        if len(done) == steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compact(place.found.data_dir, state_dir=place.found.state_dir, step=step)
    repair = as_repair(lost, recv_ns(full.frames[-1]))
    place.publish([repair])
    compact(place.found.data_dir, state_dir=place.found.state_dir)
    place.publish(())
    place.assert_as_built_once([*before, repair])


def test_trades_before_the_first_hour(tmp_path: Path) -> None:
    """Repairs reach back behind the recording: hours appear in front of the first."""
    full = market()
    from_ns = (HOUR_END_MS + 2 * HOUR_MS) * 1_000_000
    before = [frame for frame in full.frames if recv_ns(frame) >= from_ns]
    later = [
        as_repair(t, recv_ns(full.frames[-1]) + i) for i, t in enumerate(trades(full.frames)) if recv_ns(t) < from_ns
    ]
    place = Place(tmp_path, full.params)
    place.publish(before)
    assert place.publish(later[40:])[0] == 1
    assert place.publish(later[:40])[0] == -1
    place.assert_as_built_once([*before, *later])


def test_what_changes_nothing_is_not_carried_on(tmp_path: Path) -> None:
    """A duplicate makes its own hour be computed again, which closes as before: the hours after it are left alone."""
    full = market()
    place = Place(tmp_path, full.params)
    assert place.publish(full.frames) == [-1, 0, 1, 2, 3, 4]
    victim = next(t for t in trades(full.frames) if recv_ns(t) // 1_000_000 > HOUR_END_MS + HOUR_MS)
    again = [{**victim, "recv_ns": recv_ns(full.frames[-1]) + 1, "conn": "m2"}, as_repair(victim, recv_ns(victim) + 9)]
    before = hashes(place.found.data_dir)
    assert set(place.publish(again)) == {1, 4}  # 4 is open: its receipts may go on
    assert hashes(place.found.data_dir) == before
    place.assert_as_built_once([*full.frames, *again])


def test_a_gap_of_the_ledger(tmp_path: Path) -> None:
    """An outage that is told later: its hour is computed again, hours long before it are not; then it is repaired."""
    full = market()
    lost = trades(full.frames)[40:43]
    before = [frame for frame in full.frames if frame not in lost]
    place = Place(tmp_path, full.params)
    place.publish(before)
    start_ms, end_ms = (recv_ns(trades(full.frames)[at]) // 1_000_000 for at in (39, 43))
    ids = [t["data"]["a"] for t in trades(full.frames)[40:44]]  # type: ignore[index]
    gap: Json = {"recv_ns": end_ms * 1_000_000, "event": "gap", "symbol": "BTCUSDT", "stream": "btcusdt@aggTrade"}
    gap |= {"conn": "m1", "expected": ids[0], "received": ids[3], "missing": 3, "start_ms": start_ms, "end_ms": end_ms}
    computed = place.publish((), [gap])
    assert min(computed) == (start_ms - HOUR_END_MS) // HOUR_MS == 1
    repairs = [as_repair(frame, recv_ns(full.frames[-1]) + i) for i, frame in enumerate(lost)]
    assert place.publish(repairs[:1])[0] == 1
    assert place.publish(repairs[1:])[0] == 1
    place.assert_as_built_once([*before, *repairs], [gap])


def test_a_gap_of_an_hour_and_a_repair_of_the_next_at_once(tmp_path: Path) -> None:
    """What is read for an hour that is due may hold rows of a later hour that nothing else makes due."""
    full = market()
    lost = next(t for t in trades(full.frames) if recv_ns(t) // 1_000_000 > HOUR_END_MS + 2 * HOUR_MS + 1_800_000)
    before = [frame for frame in full.frames if frame is not lost]
    at = HOUR_END_MS + HOUR_MS + 60_000
    gap: Json = {"recv_ns": at * 1_000_000, "event": "gap", "symbol": "BTCUSDT", "stream": "btcusdt@depth10@100ms"}
    gap |= {"conn": "m1", "expected": None, "received": None, "missing": None, "start_ms": at - 1_000, "end_ms": at}
    place = Place(tmp_path, full.params)
    place.publish(before)
    repair = as_repair(lost, recv_ns(full.frames[-1]))
    assert {1, 2} <= set(place.publish([repair], [gap]))
    place.assert_as_built_once([*before, repair], [gap])


@pytest.mark.parametrize("slice_secs", [3600, 300])
def test_sealing_makes_nothing_due(slice_secs: int, tmp_path: Path) -> None:
    """Sealed files hold the same lines: no hour is computed again; a repair of a sealed hour is found."""
    full = market()
    lost = trades(full.frames)[10]
    before = [frame for frame in full.frames if frame is not lost]
    place = Place(tmp_path, full.params, slice_secs)
    place.publish(before)
    published = hashes(place.found.data_dir)
    assert seal_closed_hours(place.found.spool_dir, HOUR_END_MS + 9 * HOUR_MS)
    assert not list(place.found.spool_dir.rglob("BTCUSDT.*.ndjson"))
    assert place.publish(()) == []
    assert hashes(place.found.data_dir) == published
    repair = as_repair(lost, recv_ns(full.frames[-1]))
    assert place.publish([repair])[0] == 0
    seal_closed_hours(place.found.spool_dir, HOUR_END_MS + 9 * HOUR_MS)
    assert place.publish(()) == []
    place.assert_as_built_once([*before, repair])


PLACES = st.lists(st.integers(0, 10**6), min_size=1, max_size=4)


@given(markets(max_size=60), st.integers(0, 2), PLACES, st.sampled_from((5, 3600)), st.booleans(), st.booleans())
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
def test_any_frames_and_gaps_that_come_later(
    found: Market, silence: int, places: list[int], slice_secs: int, compacted: bool, sealed: bool
) -> None:
    """Any frames of any market held back and received at the end, its outages told at the end."""
    assume(len(found.frames) > 5)
    full = stretched(found, [(0.4, silence)] if silence else [])
    held = sorted({place % len(full.frames) for place in places})
    end_ns = max(recv_ns(frame) for frame in full.frames)
    later = [{**full.frames[at], "recv_ns": end_ns + 1 + i} for i, at in enumerate(held)]
    before = [frame for i, frame in enumerate(full.frames) if i not in held]
    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name), full.params, slice_secs)
        place.publish(before)
        if compacted:
            compact(place.found.data_dir, state_dir=place.found.state_dir)
        if sealed:
            seal_closed_hours(place.found.spool_dir, end_ns // 1_000_000 + 2 * HOUR_MS)
        place.publish(later, full.ledger)
        place.assert_as_built_once([*before, *later], full.ledger)
