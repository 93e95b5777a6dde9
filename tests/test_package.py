"""The wheel is whole: what it needs is inside, and nothing that is not ours."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's contents, away from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_every_file_of_the_package_is_inside(unpacked: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "ofi_cvd", "sql"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode != 0:
        pytest.skip("not a git checkout: no list of files to compare with")
    wanted = {
        name.replace("sql/", "ofi_cvd/_sql/", 1) if name.startswith("sql/") else name for name in tracked.stdout.split()
    }
    found = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert wanted - found == set()
    assert {name.partition("/")[0] for name in found if ".dist-info/" not in name} == {"ofi_cvd"}


def test_it_runs_away_from_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    """The questions of sql/ come from inside the package there."""
    where = "from ofi_cvd.quality.queries import SQL_DIR, names; print(SQL_DIR, len(names()))"
    done = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(unpacked)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    questions = len(list((ROOT / "sql").glob("*.sql")))
    assert done.stdout.split() == [str(unpacked / "ofi_cvd" / "_sql"), str(questions)]


def test_the_script_is_declared(unpacked: Path) -> None:
    (points,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "ofi = ofi_cvd.cli:main" in points.read_text("utf-8")
