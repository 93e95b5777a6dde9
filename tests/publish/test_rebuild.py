"""The dataset is a function of the spool and the parameters: to the byte, however and how often it was built.

See docs/specification/index.md#promises.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import UsageError
from ofi_cvd.publish.run import BuildReport, build
from ofi_cvd.publish.slices import Window
from ofi_cvd.settings import Settings, load
from ofi_cvd.simulator import simulate_spool
from tests.datasets import settings_for
from tests.publish.pieces import PHASES, assert_no_strays, assert_same_rows, hashes, stretched
from tests.spool_files import write_spool
from tests.strategies import Market, markets

ROOT = Path(__file__).parents[2]
SYMBOLS = ("BTCUSDT", "ETHUSDT")
START_MS = 1_767_607_200_000  # 2026-01-05 10:00 UTC
FROM_MS = START_MS + 2_700_000

Place = Callable[..., Settings]


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half an hour of two symbols across the end of an hour."""
    folder = tmp_path_factory.mktemp("simulated") / "spool"
    simulate_spool(folder, hours=0.5, symbols=SYMBOLS, seed=3, start_ms=FROM_MS, workers=1)
    return folder


@pytest.fixture
def place(spool: Path, tmp_path: Path) -> Place:
    """Return settings of a dataset by name, all from one spool."""

    def chosen(name: str, **options: object) -> Settings:
        root = tmp_path / name
        folders = {"spool_dir": spool, "data_dir": root / "data", "state_dir": root / "state"}
        symbols = ",".join(SYMBOLS)
        return load({"symbols": symbols, **folders, **options}, environ={}, toml=tmp_path / "none.toml").settings

    return chosen


def test_two_builds_give_the_same_bytes(place: Place) -> None:
    """Also with two processes instead of one."""
    one, two = place("one"), place("two")
    build(one, workers=1)
    build(two, workers=2)
    assert hashes(one.data_dir) == hashes(two.data_dir)
    assert len(hashes(one.data_dir)) == 2 * 2 * 5


@pytest.mark.parametrize("threads", ["1", "3"])
def test_the_number_of_threads_decides_nothing(threads: str, place: Place) -> None:
    """Polars with one thread and with more than the machine may have."""
    one, other = place("one"), place("other")
    build(one, workers=1)
    folders = {"--spool-dir": other.spool_dir, "--data-dir": other.data_dir, "--state-dir": other.state_dir}
    options = [str(word) for pair in folders.items() for word in pair]
    words = ["-m", "ofi_cvd", "build", "--symbols", ",".join(SYMBOLS), "--workers", "1", *options]
    environ = os.environ | {"POLARS_MAX_THREADS": threads}
    subprocess.run([sys.executable, *words], cwd=ROOT, env=environ, check=True, capture_output=True)
    assert hashes(one.data_dir) == hashes(other.data_dir)


def test_building_again_does_nothing_and_rebuilding_the_same(place: Place) -> None:
    """A second build computes no hour and touches no file; `--rebuild` computes all and changes no byte."""
    chosen = place("one")
    build(chosen, workers=1)
    before = hashes(chosen.data_dir)
    times = {path: path.stat().st_mtime_ns for path in chosen.data_dir.rglob("*.parquet")}
    assert build(chosen, workers=1) == BuildReport()
    report = build(chosen, workers=1, rebuild=True)
    assert report.hours == {"BTCUSDT": 2, "ETHUSDT": 2}
    assert hashes(chosen.data_dir) == before
    assert {path: path.stat().st_mtime_ns for path in chosen.data_dir.rglob("*.parquet")} == times


def test_a_part_that_was_damaged_or_deleted_is_built_again(place: Place) -> None:
    """Deleted: by the next build. Damaged: by `--rebuild`, also of a window."""
    chosen = place("one")
    build(chosen, workers=1)
    before = hashes(chosen.data_dir)
    victim, other, *_ = sorted(chosen.data_dir.rglob("*.parquet"))
    victim.unlink()
    build(chosen, workers=1)
    assert hashes(chosen.data_dir) == before
    for window in (Window(), Window(START_MS, START_MS + 2 * HOUR_MS)):
        other.write_bytes(b"PAR1")
        build(chosen, workers=1, rebuild=True, window=window)
        assert hashes(chosen.data_dir) == before


def test_slices_of_a_minute_hold_the_rows_of_hours(place: Place) -> None:
    """How the rows are cut into files is not in the rows."""
    hours, minutes = place("hours"), place("minutes")
    build(hours, workers=1)
    build(minutes, workers=1, slice_secs=60)
    assert len(hashes(minutes.data_dir)) > 100
    assert_same_rows(minutes, hours)
    build(minutes, workers=1, rebuild=True)  # and back to hours, in place
    assert hashes(minutes.data_dir) == hashes(hours.data_dir)
    build(hours, workers=1, rebuild=True, slice_secs=600)
    assert_same_rows(hours, minutes)
    assert_no_strays(hours)


def test_a_window_publishes_its_slices_and_the_rest_follows(place: Place) -> None:
    """`--start --end` publish whole slices within; later builds fill the rest, to the same bytes."""
    whole, chosen = place("whole"), place("chosen")
    build(whole, workers=1, slice_secs=60)
    everything = hashes(whole.data_dir)
    window = Window(START_MS + 3_000_000, START_MS + 3_300_000)
    build(chosen, workers=1, slice_secs=60, window=window)
    within = {name: digest for name, digest in everything.items() if "T1050" <= name[-16:-11] < "T1055"}
    assert hashes(chosen.data_dir) == within != {}
    assert build(chosen, workers=1, slice_secs=60, window=window) == BuildReport()
    build(chosen, workers=1, slice_secs=60, window=Window(START_MS + HOUR_MS, None))
    after = {name: digest for name, digest in everything.items() if name[-16:-13] == "T11"}
    assert hashes(chosen.data_dir) == within | after
    build(chosen, workers=1, slice_secs=60)
    assert hashes(chosen.data_dir) == everything


def test_a_rebuilt_window_harms_nothing_beside_it(place: Place) -> None:
    """Rebuilding a part of an hour in finer or coarser slices leaves every row in place."""
    chosen, whole = place("chosen"), place("whole")
    build(whole, workers=1)
    build(chosen, workers=1)
    window = Window(START_MS + 3_000_000, START_MS + 3_300_000)
    for slice_secs in (60, 300, 3600):
        build(chosen, workers=1, slice_secs=slice_secs, window=window, rebuild=True)
        assert_same_rows(chosen, whole)
        assert_no_strays(chosen)


def test_other_parameters_are_refused(place: Place) -> None:
    """Rows of two parameter sets never mix: the sentence says what to do, and doing it works."""
    chosen = place("one")
    build(chosen, workers=1)
    before = hashes(chosen.data_dir)
    other = place("one", winsor_limit=4)
    for ask in (
        lambda: build(other, workers=1),
        lambda: build(other, workers=1, rebuild=True, window=Window(START_MS, START_MS + HOUR_MS)),
        lambda: build(place("one", winsor_limit=4, symbols="BTCUSDT"), workers=1, rebuild=True),
    ):
        with pytest.raises(
            UsageError, match=r"expected the parameters the dataset was built with.*use --rebuild for all"
        ):
            ask()
    assert hashes(chosen.data_dir) == before
    build(other, workers=1, rebuild=True)
    assert hashes(chosen.data_dir) != before
    fresh = place("fresh", winsor_limit=4)
    build(fresh, workers=1)
    assert hashes(chosen.data_dir) == hashes(fresh.data_dir)
    build(place("one", seal_after_secs=1), workers=1, rebuild=True)  # a setting that decides no value
    assert hashes(chosen.data_dir) == before


@given(markets(), st.integers(0, 2), st.sampled_from((5, 60, 3600)))
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
def test_any_market_is_built_to_the_same_bytes(market: Market, silence: int, slice_secs: int) -> None:
    """Two folders, and one of them rebuilt in place."""
    assume(market.frames)
    market = stretched(market, [(0.5, silence)] if silence else [])
    with tempfile.TemporaryDirectory() as name:
        one, two = (settings_for(Path(name) / part, market.params) for part in ("one", "two"))
        for chosen in (one, two):
            write_spool(chosen.spool_dir, market.frames, market.ledger)
            build(chosen, workers=1, slice_secs=slice_secs)
        assert hashes(one.data_dir) == hashes(two.data_dir)
        build(one, workers=1, slice_secs=slice_secs, rebuild=True)
        assert hashes(one.data_dir) == hashes(two.data_dir)
