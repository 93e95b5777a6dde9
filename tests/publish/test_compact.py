"""Compaction: fewer files, the same rows, and no reader who could tell when it happened."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from filelock import FileLock

from ofi_cvd import open_dataset
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import LockedError, PublishError
from ofi_cvd.publish.compact import Compaction, compact, recover
from ofi_cvd.publish.parts import current_parts, folder_of, part_name
from ofi_cvd.schemas import KINDS, TABLES
from tests.quality.synthetic import START_MS, Market, publish, tables, write

MARKET = Market(symbols=("BTCUSDT",), hours=3, tps=1, slice_secs=300)


def files(data: Path) -> dict[str, str]:
    return {
        path.relative_to(data).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(data.rglob("*.parquet*"))
    }


def rows(data: Path) -> dict[str, pl.DataFrame]:
    with open_dataset(data) as dataset:
        return {kind: dataset.frame(kind).collect() for kind in KINDS}


def test_closed_hours_become_one_part_with_the_same_rows(tmp_path: Path) -> None:
    """Two of three hours are over; each becomes one file, and a second run has nothing to do."""
    data = publish(tmp_path, MARKET)
    before = rows(data)
    done = compact(data)
    assert (done.merged, done.mixed, done.finished) == (10, 0, 0)
    for kind in KINDS:
        assert rows(data)[kind].equals(before[kind])
        folder = folder_of(data, "BTCUSDT", kind, START_MS)
        merged = folder / part_name(START_MS)
        assert pl.read_parquet_metadata(merged)["slice_secs"] == "3600"
        assert pl.read_parquet_metadata(merged)["params_fingerprint"] == "f" * 64
        assert pl.read_parquet(merged, hive_partitioning=False).schema == TABLES[kind].schema
        in_first_hour = [p for p in current_parts(data, kinds=(kind,)) if p.start_ms < START_MS + HOUR_MS]
        assert [p.path for p in in_first_hour] == [merged]
    first = files(data)
    assert compact(data) == Compaction()
    assert files(data) == first


def test_the_bytes_do_not_depend_on_when_it_ran(tmp_path: Path) -> None:
    """Hour by hour or all at once gives the same files."""
    first, second = publish(tmp_path / "a", MARKET), publish(tmp_path / "b", MARKET)
    compact(first)
    compact(second, before_ms=START_MS + HOUR_MS)
    assert files(second) != files(first)
    compact(second)
    assert files(second) == files(first)


def test_an_hour_with_slices_only_late_in_it_is_named_after_the_hour(tmp_path: Path) -> None:
    """A slice without rows has no file, so the hour's first file may not be its first slice."""
    data = tmp_path / "ofi_cvd"
    events = tables(replace(MARKET, hours=2), "BTCUSDT")["events"]
    write(data, "events", "BTCUSDT", events.filter(pl.col("ts_ms") >= START_MS + 1_200_000), 300)
    compact(data)
    names = [p.path.name for p in current_parts(data) if p.start_ms < START_MS + HOUR_MS]
    assert names == [part_name(START_MS)]


@pytest.mark.parametrize("stop_after", range(8))
def test_a_crash_after_any_step_costs_nothing(tmp_path: Path, stop_after: int) -> None:
    """Whatever step was the last, readers see every row once, and the next run ends with the same bytes."""
    market = replace(MARKET, hours=2, slice_secs=1200)
    data, whole = publish(tmp_path / "a", market), publish(tmp_path / "b", market)
    expected = rows(data)
    compact(whole)
    steps: list[str] = []

    def step(name: str) -> None:
        steps.append(name)
        if len(steps) > stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compact(data, step=step)
    assert all(rows(data)[kind].equals(expected[kind]) for kind in KINDS)
    compact(data)
    assert files(data) == files(whole)


def test_recovery_finishes_a_visible_hour_and_forgets_an_unfinished_file(tmp_path: Path) -> None:
    """A publisher that calls `recover` finds only parts."""
    data = publish(tmp_path, replace(MARKET, hours=2, slice_secs=1200))

    def step(name: str) -> None:
        if name == "removed":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compact(data, step=step)
    folder_of(data, "BTCUSDT", "ofi", START_MS).joinpath("hour-20251016T010000Z.parquet.tmp").write_bytes(b"half")
    assert recover(data) == 1
    assert not list(data.rglob("hour-*"))


def test_slices_of_different_parameters_are_left_alone(tmp_path: Path) -> None:
    """Metadata of a part speaks for all its rows, so unlike slices are not merged."""
    data = publish(tmp_path, replace(MARKET, hours=2))
    victim = folder_of(data, "BTCUSDT", "ofi", START_MS) / part_name(START_MS + 300_000)
    pl.read_parquet(victim, hive_partitioning=False).write_parquet(victim, metadata={"slice_secs": "300"})
    assert compact(data).mixed == 1
    assert victim.exists()


def test_a_late_slice_beside_a_merged_hour_is_an_error(tmp_path: Path) -> None:
    """Merging it would store its rows twice; the other hours are merged all the same."""
    data = publish(tmp_path, MARKET)
    late = folder_of(data, "BTCUSDT", "ofi", START_MS) / part_name(START_MS + 600_000)
    kept = late.read_bytes()
    compact(data, before_ms=START_MS + HOUR_MS)
    late.write_bytes(kept)
    with pytest.raises(PublishError, match="beside a part of the whole hour"):
        compact(data)
    assert len([p for p in current_parts(data, kinds=("prices",)) if p.start_ms < START_MS + 2 * HOUR_MS]) == 2


def test_a_reader_in_a_loop_sees_every_row_every_time(tmp_path: Path) -> None:
    """Another process counts and sums the rows while twelve hours are merged one after another."""
    market = Market(symbols=("BTCUSDT",), hours=13, tps=1, slice_secs=300)
    data, frame = tmp_path / "ofi_cvd", tables(market, "BTCUSDT")["prices"]
    write(data, "prices", "BTCUSDT", frame, 300)
    stop = tmp_path / "stop"
    command = [sys.executable, "-m", "tests.quality.reader", str(data), str(stop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline().strip() == b"ready"
        merged = 0
        for hour in range(1, 13):
            merged += compact(data, before_ms=START_MS + hour * HOUR_MS).merged
        stop.touch()
        answers = json.loads(reader.communicate()[0])
    assert merged == 12
    assert len(answers) > 3
    expected = [frame.height, int((frame["ts_ms"] % 1000003).sum())]
    assert [answer for answer in answers if answer != expected] == []


def test_compaction_waits_for_a_build_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices are not merged while a build may replace them."""
    from ofi_cvd.publish import compact as module  # noqa: PLC0415

    monkeypatch.setattr(module, "_WAIT_S", 0.0)
    data = publish(tmp_path, MARKET)
    with FileLock(tmp_path / "state" / "build.lock"), pytest.raises(LockedError, match="expected the build to finish"):
        compact(data, state_dir=tmp_path / "state")
    assert compact(data, state_dir=tmp_path / "state").merged == 10
