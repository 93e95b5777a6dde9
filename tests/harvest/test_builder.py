"""Rounds of the builder in this process: what is due, what stays due when the disk refuses, what the parent is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import UsageError
from ofi_cvd.harvest.builder import RETRIES_S, Builder
from ofi_cvd.harvest.digests import digest, hour_digests
from ofi_cvd.harvest.messages import Built, Dataset, Message
from ofi_cvd.harvest.run import Run
from ofi_cvd.publish.compact import compact
from ofi_cvd.publish.parts import part_name
from ofi_cvd.publish.run import build
from ofi_cvd.settings import Settings
from tests.datasets import frames_of, settings_for
from tests.spool_files import write_spool

START_MS = 1_767_614_400_000  # a full hour
SLICE_MS = 10_000
SYMBOLS = ("BTCUSDT", "ETHUSDT")


def trade(symbol: str, number: int, at_ms: int) -> dict[str, object]:
    data = {
        "e": "aggTrade",
        "E": at_ms,
        "s": symbol,
        "a": number,
        "p": "10",
        "q": "1",
        "T": at_ms,
        "m": number % 2 == 0,
    }
    return {"recv_ns": at_ms * 10**6, "conn": "m1", "stream": f"{symbol.lower()}@aggTrade", "data": data}


def record(settings: Settings, from_s: int, to_s: int) -> None:
    """Append a trade a second for each symbol."""
    seconds = range(from_s, to_s)
    write_spool(settings.spool_dir, [trade(name, 100 + s, START_MS + s * 1000) for name in SYMBOLS for s in seconds])


class Rig:
    """A builder whose clock is a number and whose waits are noted."""

    def __init__(self, root: Path) -> None:
        self.settings = settings_for(root, {"PARQUET_ROTATE_SEC": 10, "WIN_SECS": 5}, ",".join(SYMBOLS))
        self.run = Run(
            start_ms=START_MS,
            end_ms=START_MS + 100 * SLICE_MS,
            slice_ms=SLICE_MS,
            symbols=SYMBOLS,
            params_fingerprint=self.settings.fingerprint(),
        )
        self.said: list[Message] = []
        self.waits: list[float] = []
        self.now_s = START_MS / 1000
        self.stop_after = 0

    def builder(self) -> Builder:
        return Builder(self.settings, self.run, self.said.append, self.wait, lambda: self.now_s)

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now_s += seconds + 0.001  # never a moment too early
        return len(self.waits) == self.stop_after

    def built(self) -> Built:
        return [message for message in self.said if isinstance(message, Built)][-1]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@contextmanager
def refused(settings: Settings, symbol: str) -> Iterator[None]:
    """Put a file where the symbol's folder has to be: nobody can write below it, not even root."""
    place = settings.data_dir / "date=2026-01-05" / f"symbol={symbol}"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    try:
        yield
    finally:
        place.unlink()


def test_a_round_publishes_the_slices_that_are_complete(rig: Rig) -> None:
    record(rig.settings, 0, 27)
    rig.now_s += 27
    rig.builder().round(SYMBOLS)
    assert rig.built().published_to == dict.fromkeys(SYMBOLS, START_MS + 2 * SLICE_MS)
    assert (rig.built().write_errors, rig.built().failed, rig.built().final) == (0, {}, False)
    [figures] = [message for message in rig.said if isinstance(message, Dataset)]
    assert set(figures.winsor) == set(figures.scenario) == set(SYMBOLS)


def test_nothing_recorded_is_nothing_to_build(rig: Rig) -> None:
    rig.builder().round(SYMBOLS)
    assert rig.built().published_to == {}
    assert rig.built().failed == {}


def test_a_refused_write_is_tried_three_times_and_the_slice_stays_due(rig: Rig) -> None:
    """The other symbol is published; once the disk is back, so is this one, and no row is missing."""
    record(rig.settings, 0, 27)
    rig.now_s += 27
    builder = rig.builder()
    with refused(rig.settings, "BTCUSDT"):
        builder.round(SYMBOLS)
        assert rig.waits == list(RETRIES_S)
        assert rig.built().write_errors == 1
        assert set(rig.built().failed) == {"BTCUSDT"}
        assert rig.built().published_to == {"ETHUSDT": START_MS + 2 * SLICE_MS}
    builder.round(SYMBOLS)
    assert rig.built().published_to == dict.fromkeys(SYMBOLS, START_MS + 2 * SLICE_MS)
    assert (rig.built().write_errors, rig.built().failed) == (1, {})


def test_a_write_that_succeeds_at_the_third_try_is_no_error(rig: Rig) -> None:
    record(rig.settings, 0, 27)
    rig.now_s += 27
    with refused(rig.settings, "ETHUSDT") as _:
        place = rig.settings.data_dir / "date=2026-01-05" / "symbol=ETHUSDT"

        def wait(seconds: float) -> bool:
            rig.waits.append(seconds)
            if len(rig.waits) == 2:
                place.unlink()
            return False

        Builder(rig.settings, rig.run, rig.said.append, wait, lambda: rig.now_s).round(SYMBOLS)
        assert (rig.waits, rig.built().write_errors, rig.built().failed) == (list(RETRIES_S), 0, {})
        for path in sorted(place.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        place.rmdir()
        place.touch()


def test_rounds_follow_the_slices_and_look_again_while_something_is_due(rig: Rig) -> None:
    """A slice is due once it, the grace and the flush are over; without receipts again soon, then once a slice."""
    record(rig.settings, 0, 3)
    rig.stop_after = 8
    rig.builder().work()
    wait_s = rig.settings.grace_secs + 0.4
    assert rig.waits == pytest.approx([wait_s, 10.0, 1.0, 2.0, 5.0, 2.0, 10.0, 10.0], abs=0.1)
    assert len([message for message in rig.said if isinstance(message, Built)]) == 7


def test_what_is_built_in_rounds_is_what_is_built_at_once(rig: Rig, tmp_path: Path) -> None:
    builder = rig.builder()
    for upto in range(5, 60, 7):
        record(rig.settings, upto - 5 if upto == 5 else upto - 7, upto)
        rig.now_s = START_MS / 1000 + upto + 0.5
        builder.round(SYMBOLS)
    builder.finish()
    assert rig.built().final
    at_once = rig.settings.model_copy(update={"data_dir": tmp_path / "batch", "state_dir": tmp_path / "batch-state"})
    build(at_once, workers=1)
    found, wanted = frames_of(rig.settings.data_dir), frames_of(at_once.data_dir)
    assert all(found[kind].equals(wanted[kind]) for kind in wanted)
    assert wanted["prices"].height == 2 * 54


def test_a_builder_goes_on_where_the_last_one_stopped(rig: Rig) -> None:
    record(rig.settings, 0, 27)
    rig.now_s += 27
    rig.builder().round(SYMBOLS)
    assert rig.builder().published_to == dict.fromkeys(SYMBOLS, START_MS + 2 * SLICE_MS)


def test_a_dataset_of_other_parameters_is_refused(rig: Rig) -> None:
    record(rig.settings, 0, 27)
    rig.now_s += 27
    rig.builder().round(SYMBOLS)
    rig.settings = rig.settings.model_copy(update={"win_secs": 7})
    with pytest.raises(UsageError, match="expected the parameters the dataset was built with"):
        rig.builder()


def test_hours_that_are_final_are_merged_and_the_rows_stay(rig: Rig) -> None:
    """Once an hour, whatever is not final left alone; another pass has nothing to publish."""
    record(rig.settings, 0, 3700)
    rig.now_s += 3700
    builder = rig.builder()
    builder.round(SYMBOLS)
    before = frames_of(rig.settings.data_dir)
    names = sorted(path.name for path in rig.settings.data_dir.rglob("*kind=prices/*.parquet"))
    first_hour = part_name(START_MS)
    assert names.count(first_hour) == len(SYMBOLS)
    assert not any(part_name(START_MS + SLICE_MS) == name for name in names)
    assert any(part_name(START_MS + HOUR_MS) == name for name in names)
    assert pl.read_parquet_metadata(next(rig.settings.data_dir.rglob(first_hour)))["slice_secs"] == "3600"
    builder.round(SYMBOLS)
    after = frames_of(rig.settings.data_dir)
    assert all(before[kind].equals(after[kind]) for kind in before)
    assert before["prices"].filter(pl.col("ts_ms") < START_MS + HOUR_MS).height == 2 * 3600


def test_digests_of_hours_are_the_same_before_and_after_a_compaction(rig: Rig) -> None:
    record(rig.settings, 0, 3700)
    build(rig.settings, slice_secs=600, live=True, workers=1)
    window = (SYMBOLS, START_MS, START_MS + HOUR_MS)
    before = hour_digests(rig.settings.data_dir, *window)
    assert {(one["symbol"], one["kind"]) for one in before} >= {
        (name, kind) for name in SYMBOLS for kind in ("prices", "cvd")
    }
    compact(rig.settings.data_dir, state_dir=rig.settings.state_dir)
    assert hour_digests(rig.settings.data_dir, *window) == before


def test_a_digest_tells_nulls_names_and_values_apart() -> None:
    frames = [
        pl.DataFrame({"a": [0, 1]}), pl.DataFrame({"a": [None, 1]}), pl.DataFrame({"b": [0, 1]}), pl.DataFrame({"a": [0.0, 1.0]}),
        pl.DataFrame({"a": ["0", "1"]}), pl.DataFrame({"a": [None, "1"]}), pl.DataFrame({"a": [[0.0], [1.0]]}),
        pl.DataFrame({"a": [[0.0, 1.0], []]}), pl.DataFrame({"a": [[0.0, 1.0], None]}), pl.DataFrame({"a": [-0.0, 1.0]}),
    ]  # fmt: skip
    assert len({digest(frame) for frame in frames}) == len(frames)
