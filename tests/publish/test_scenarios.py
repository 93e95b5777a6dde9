"""The scenario folders and the real captures, built by the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets import build_frames
from tests.scenario_files import assert_rows, read_scenario, scenario_folders


@pytest.mark.parametrize("folder", scenario_folders(), ids=lambda path: path.name)
def test_scenario(folder: Path, tmp_path: Path) -> None:
    """A folder's frames give the rows it lists, in every table it lists."""
    scenario = read_scenario(folder)
    found = build_frames(tmp_path, scenario.frames, scenario.ledger, scenario.params)
    for kind, expected in scenario.expected.items():
        assert_rows(found[kind], expected)
