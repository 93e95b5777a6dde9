"""States are small, old ones are thinned, and what was thinned is computed again."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from ofi_cvd.errors import SpoolError
from ofi_cvd.publish import checkpoint, states
from ofi_cvd.publish.run import build
from ofi_cvd.settings import Settings
from tests.datasets import settings_for
from tests.publish.pieces import assert_same_rows, hashes
from tests.publish.test_restatement import as_repair, market, recv_ns, trades
from tests.spool_files import HOUR_MS, hour_folder, write_spool
from tests.strategies import HOUR_END_MS, Json

HOURS = 5


@pytest.fixture
def thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Settings, Json]:
    """A dataset that keeps states of an hour and a half, and a trade of its second hour that comes late."""
    monkeypatch.setattr(states, "KEPT_MS", HOUR_MS * 3 // 2)
    full = market(HOURS)
    lost = next(trade for trade in trades(full.frames) if recv_ns(trade) // 1_000_000 > HOUR_END_MS + HOUR_MS)
    chosen = settings_for(tmp_path / "found", full.params)
    write_spool(chosen.spool_dir, [frame for frame in full.frames if frame is not lost])
    build(chosen, workers=1)
    return chosen, as_repair(lost, recv_ns(full.frames[-1]))


def kept(chosen: Settings) -> list[str]:
    return sorted(path.stem for path in (chosen.state_dir / "BTCUSDT").glob("*[0-9].parquet"))


def test_old_states_go_and_what_they_hold_of_the_day_stays(thinned: tuple[Settings, Json]) -> None:
    """The digests of all stay; each hour has written the seconds of its own and no other."""
    chosen, _ = thinned
    assert kept(chosen) == ["20260105T15", "20260105T16"]
    entry = checkpoint.load(chosen.state_dir).symbols["BTCUSDT"]  # type: ignore[union-attr]
    assert all(hour.state_digest for hour in entry.hours.values())
    for at in entry.hours:
        own = pl.read_parquet(chosen.state_dir / states.history_name("BTCUSDT", at))["ts_ms"]
        assert (own // HOUR_MS * HOUR_MS).unique().to_list() == [at]


def test_a_state_that_opens_a_day_stays(tmp_path: Path) -> None:
    """However old it is."""
    hours = {at * HOUR_MS: checkpoint.HourEntry(state=f"{at}.parquet") for at in range(80)}
    for hour in hours.values():
        (tmp_path / hour.state).touch()
    states.thin(tmp_path, hours, hours)
    assert sorted(int(path.stem) for path in tmp_path.iterdir()) == [23, *range(31, 80)]


def test_a_thinned_hour_is_computed_again_from_the_nearest_state(
    thinned: tuple[Settings, Json], tmp_path: Path
) -> None:
    """The rows are those of one build; parts whose bytes agree are not touched."""
    chosen, repair = thinned
    times = {path: path.stat().st_mtime_ns for path in chosen.data_dir.rglob("*.parquet")}
    write_spool(chosen.spool_dir, [repair])
    computed: list[int] = []
    build(chosen, workers=1, progress=lambda _symbol, at, _entry: computed.append((at - HOUR_END_MS) // HOUR_MS))
    assert computed[:3] == [-1, 0, 1]
    assert kept(chosen) == ["20260105T15", "20260105T16"]
    early = [path for path in times if path.name < "part-20260105T12"]
    assert early
    assert all(path.stat().st_mtime_ns == times[path] for path in early)
    wanted = settings_for(tmp_path / "wanted", market(1).params)
    wanted = wanted.model_copy(update={"spool_dir": chosen.spool_dir})
    build(wanted, workers=1)
    assert_same_rows(chosen, wanted)


def test_a_thinned_hour_without_its_spool_stays(thinned: tuple[Settings, Json]) -> None:
    """One sentence, and nothing has changed; hours that do not need it go on."""
    chosen, repair = thinned
    before = hashes(chosen.data_dir)
    (hour_folder(chosen.spool_dir, HOUR_END_MS) / "BTCUSDT.aggTrade.ndjson").unlink()
    write_spool(chosen.spool_dir, [repair])
    with pytest.raises(SpoolError, match="expected the file that a published hour was built from"):
        build(chosen, workers=1)
    assert hashes(chosen.data_dir) == before
    more = [frame for frame in market(HOURS + 1).frames if recv_ns(frame) > repair["recv_ns"]]  # type: ignore[operator]
    write_spool(chosen.spool_dir, more)
    build(chosen, workers=1)
    after = hashes(chosen.data_dir)
    assert before.items() - after.items() == {item for item in before.items() if "T15" in item[0]}
    assert any("T16" in name for name in after.keys() - before.keys())
