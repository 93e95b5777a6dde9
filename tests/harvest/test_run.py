"""The window of a run: where it begins, when a start continues it, which hours are owed a report."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import PublishError, UsageError
from ofi_cvd.harvest.run import CONNECT_MS, NAME, PATIENCE_MS, Run, begin, begin_or_continue, load, save
from ofi_cvd.settings import Settings

NOON_MS = 1_767_614_400_000


def settings(**changes: object) -> Settings:
    return Settings(**({"symbols": "BTCUSDT,ETHUSDT", "run_hours": 3} | changes))


def run(**changes: object) -> Run:
    facts: dict[str, object] = {
        "start_ms": NOON_MS + 20 * 60_000,
        "end_ms": NOON_MS + 3 * HOUR_MS + 20 * 60_000,
        "slice_ms": 60_000,
        "symbols": ("BTCUSDT", "ETHUSDT"),
        "params_fingerprint": settings().fingerprint(),
    }
    return Run(**(facts | changes))


@pytest.mark.parametrize("late_ms", [0, 1, 30_000, 59_999])
def test_a_run_is_whole_slices_of_the_hours_that_were_asked_for(late_ms: int) -> None:
    found = begin(settings(), NOON_MS + late_ms)
    assert found.start_ms % 60_000 == 0
    assert CONNECT_MS <= found.start_ms - (NOON_MS + late_ms) < 60_000 + CONNECT_MS
    assert found.end_ms - found.start_ms == 3 * HOUR_MS
    assert found.starts == 1


def test_a_run_shorter_than_a_slice_has_one() -> None:
    found = begin(settings(run_hours=1 / 3600), NOON_MS)
    assert found.end_ms - found.start_ms == 60_000


def test_a_start_within_the_window_continues_the_run(tmp_path: Path) -> None:
    first = begin_or_continue(None, settings(), NOON_MS, new=False)
    save(first, tmp_path)
    second = begin_or_continue(load(tmp_path), settings(), NOON_MS + HOUR_MS, new=False)
    assert (second.start_ms, second.end_ms, second.starts) == (first.start_ms, first.end_ms, 2)


def test_a_run_whose_end_was_slept_through_is_finished_first() -> None:
    assert begin_or_continue(run(), settings(), NOON_MS + 99 * HOUR_MS, new=False).start_ms == run().start_ms


@pytest.mark.parametrize(("found", "new"), [(run(), True), (run(finished=True), False), (None, False)])
def test_another_run_begins(found: Run | None, *, new: bool) -> None:
    now_ms = NOON_MS + 5 * HOUR_MS
    begun = begin_or_continue(found, settings(), now_ms, new=new)
    assert begun.start_ms > now_ms
    assert (begun.starts, begun.reported, begun.finished) == (1, (), False)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"symbols": "BTCUSDT"}, "SYMBOLS"),
        ({"parquet_rotate_sec": 30}, "PARQUET_ROTATE_SEC"),
        ({"win_secs": 60}, "parameters"),
    ],
)
def test_other_settings_are_refused_while_a_run_is_not_over(changes: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=rf"expected its {named} .* --new starts another run"):
        begin_or_continue(run(), settings(**changes), NOON_MS + HOUR_MS, new=False)


def test_the_order_of_symbols_and_the_recorder_s_settings_may_change() -> None:
    changed = settings(symbols="ETHUSDT,BTCUSDT", silence_secs=5)
    assert begin_or_continue(run(), changed, NOON_MS + HOUR_MS, new=False).start_ms == run().start_ms


def test_hours_are_owed_once_they_are_over_and_published() -> None:
    one = run()
    built = dict.fromkeys(one.symbols, NOON_MS + HOUR_MS)
    assert one.hour_due(NOON_MS + HOUR_MS - 1, built) is None
    assert one.hour_due(NOON_MS + HOUR_MS, built) == NOON_MS
    assert one.with_report(NOON_MS).hour_due(NOON_MS + HOUR_MS, built) is None
    assert one.hour(NOON_MS) == (one.start_ms, NOON_MS + HOUR_MS)


def test_an_hour_is_not_waited_for_for_ever() -> None:
    one, behind = run(), {"BTCUSDT": NOON_MS + HOUR_MS, "ETHUSDT": NOON_MS + HOUR_MS // 2}
    assert one.hour_due(NOON_MS + HOUR_MS + PATIENCE_MS - 1, behind) is None
    assert one.hour_due(NOON_MS + HOUR_MS + PATIENCE_MS, behind) == NOON_MS
    assert one.hour_due(NOON_MS + HOUR_MS + PATIENCE_MS, {}) == NOON_MS


def test_the_last_hour_is_the_final_report_s() -> None:
    """It is not over within the run: 15:00 to 15:20 is reported at the end."""
    reported = run(reported=(NOON_MS, NOON_MS + HOUR_MS, NOON_MS + 2 * HOUR_MS))
    assert list(reported.unreported(NOON_MS + 9 * HOUR_MS)) == []
    assert reported.hour(NOON_MS + 3 * HOUR_MS) == (NOON_MS + 3 * HOUR_MS, reported.end_ms)


@pytest.mark.parametrize(
    ("stopped_ms", "end_ms"),
    [
        (NOON_MS, run().start_ms),
        (run().start_ms + 119_999, run().start_ms + 60_000),
        (run().end_ms, run().end_ms),
        (run().end_ms + HOUR_MS, run().end_ms),
    ],
)
def test_what_is_judged_ends_with_a_slice(stopped_ms: int, end_ms: int) -> None:
    assert run().judged_end_ms(stopped_ms) == end_ms


def test_the_file_is_whole_or_refused(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    save(run(reported=(NOON_MS,)), tmp_path)
    assert load(tmp_path) == run(reported=(NOON_MS,))
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    (tmp_path / NAME).write_bytes(b'{"start_ms": 1')
    with pytest.raises(PublishError, match="--new starts another run"):
        load(tmp_path)
