"""A run that cannot work ends at once, before a child is started."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import UsageError
from ofi_cvd.harvest.command import begun, check_folders, run_harvest
from ofi_cvd.harvest.run import homes, save
from tests.datasets import settings_for

FOLDERS = ("spool_dir", "data_dir", "state_dir", "artifacts_dir")


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_ends_the_run_with_usage(tmp_path: Path, name: str, place: str) -> None:
    """Exit status 2 and one sentence that names the folder; no child is started again and again."""
    (tmp_path / "file").write_text("in the way", "utf-8")
    folder = tmp_path / place
    settings = settings_for(tmp_path, {"ENDPOINT": "http://127.0.0.1:1", name: folder})
    with pytest.raises(UsageError, match=rf"{folder}: expected a folder that can be written, found ") as found:
        run_harvest(settings)
    assert found.value.exit_code == 2
    assert not list(tmp_path.rglob("run.json"))


def test_folders_that_are_missing_are_made(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, {"artifacts_dir": tmp_path / "a" / "b"})
    check_folders(settings)
    assert all(getattr(settings, name).is_dir() for name in FOLDERS)
    assert all(not any(getattr(settings, name).iterdir()) for name in FOLDERS)


NOON_MS = 1_767_614_400_000


def test_a_state_that_was_deleted_does_not_begin_another_run(tmp_path: Path) -> None:
    """The state is made again from the spool; the window of the run and its reported hours are not in the spool."""
    settings = settings_for(tmp_path, {"artifacts_dir": tmp_path / "artifacts", "run_hours": 3})
    first = begun(settings, NOON_MS, new=False)
    reported = first.with_report(NOON_MS)
    save(reported, *homes(settings))
    shutil.rmtree(settings.state_dir)
    second = begun(settings, NOON_MS + HOUR_MS, new=False)
    assert (second.start_ms, second.end_ms, second.starts) == (first.start_ms, first.end_ms, 2)
    assert second.reported == (NOON_MS,)
    shutil.rmtree(settings.artifacts_dir)
    assert begun(settings, NOON_MS + HOUR_MS, new=False).start_ms == first.start_ms
    assert begun(settings, NOON_MS + HOUR_MS, new=True).start_ms > NOON_MS + HOUR_MS


def test_a_run_that_is_over_is_not_taken_up_again_from_its_copy(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, {"artifacts_dir": tmp_path / "artifacts", "run_hours": 3})
    save(begun(settings, NOON_MS, new=False).as_finished(), *homes(settings))
    shutil.rmtree(settings.state_dir)
    assert begun(settings, NOON_MS + HOUR_MS, new=False).starts == 1
