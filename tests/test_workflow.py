"""The workflow that a hosting service runs: it cannot run here, so what it says is checked."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
BIN = Path(sys.executable).parent


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit(path: Path) -> None:
    used = re.findall(r"uses: (\S+)", path.read_text("utf-8"))
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []


def test_every_system_and_both_ends_of_python_are_tested() -> None:
    text = "".join(path.read_text("utf-8") for path in WORKFLOWS)
    for system in ("ubuntu", "macos", "windows"):
        assert f"{system}-latest" in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [line.rpartition(" ")[2] for line in project["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert f'python: ["{named[0]}", "{named[-1]}"]' in text


def test_make_targets_that_it_runs_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    run = [
        name
        for path in WORKFLOWS
        for words in re.findall(r"run: make (.+)", path.read_text("utf-8"))
        for name in words.split()
    ]
    assert run
    assert [name for name in run if not re.search(rf"^{name}: ", makefile, re.MULTILINE)] == []


@pytest.mark.parametrize(
    "command",
    [
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS)],
        ["zizmor", "--offline", "--no-progress", str(ROOT / ".github" / "workflows")],
        ["pre-commit", "validate-config", str(ROOT / ".pre-commit-config.yaml")],
    ],
    ids=lambda command: command[0],
)
def test_the_checkers_find_nothing(command: list[str]) -> None:
    tool = BIN / command[0]
    if not tool.exists():
        pytest.skip(f"{command[0]} is in the dependency group `lint`, which is not installed")
    done = subprocess.run([str(tool), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
