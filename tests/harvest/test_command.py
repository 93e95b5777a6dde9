"""A run that cannot work ends at once, before a child is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofi_cvd.errors import UsageError
from ofi_cvd.harvest.command import check_folders, run_harvest
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
