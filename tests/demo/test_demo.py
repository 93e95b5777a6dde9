"""`ofi demo` as a user meets it, in small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A demo of a minute and a half, in a folder whose settings file and environment ask for something else."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "ofi.toml").write_text('SYMBOLS = ["DOGEUSDT"]\nTRADE_STREAM = "trade"\n', "utf-8")
    arguments = ["--dir", "out", "--hours", "0.025", "--seconds", "5", "--captures", "none", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "ofi_cvd", "demo", *arguments],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT), "BOOK_STREAMS": "bookTicker", "PYTHONIOENCODING": "ascii"},
        capture_output=True, encoding="ascii", timeout=240, check=False,
    )  # fmt: skip
    return done, folder / "out"


def test_it_ends_well_and_says_what_matters(played: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, _ = played
    assert done.returncode == 0, done.stderr
    for words in (
        "killed the recorder (exit -9)" if sys.platform != "win32" else "killed the recorder",
        "trade ids missing: 0, stored twice: 0",
        "Rows of the five tables",
        "Trades by scenario",
        "Where to go from here",
    ):
        assert words in done.stderr
    assert max(map(len, done.stderr.partition("Where to go")[0].splitlines())) <= 160


def test_json_is_all_of_the_output_and_says_what_was_found(
    played: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, folder = played
    facts = json.loads(done.stdout)
    assert (facts["live"]["missing"], facts["live"]["duplicates"], facts["captured"]) == (0, 0, None)
    assert all(one["ids"] > 0 for one in facts["live"]["symbols"].values())
    assert facts["simulated"]["frames"] > 1000
    assert (folder.parent / facts["simulated"]["report"]).is_file()


def test_everything_is_below_its_folder(played: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, folder = played
    assert sorted(path.name for path in folder.parent.iterdir()) == ["ofi.toml", "out"]
    for act in ("simulated", "live"):
        assert list((folder / act / "ofi_cvd").rglob("*.parquet"))
    assert len(list(folder.rglob("dq_*.html"))) == 1


def test_the_recorder_that_was_killed_came_back(played: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """Two recorders wrote the log, and only the second came to a clean end."""
    _, folder = played
    log = (folder / "live" / "recorder.log").read_text("utf-8")
    assert log.count("recorded ") == 1
    assert len(list((folder / "live" / "spool").rglob("*.repair.ndjson"))) > 0
