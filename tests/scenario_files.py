"""Read a scenario folder: what was received, the settings, and the columns that matter of the tables it must give.

`spool.ndjson` holds the frames in the order of their receipt, `ledger.ndjson` (optional) the ledger, `params.json` the
settings that differ from their defaults.  Each `<kind>.csv` has every row of that table, but only some of its columns;
an empty cell is null.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from tests.spool_files import read_lines

Cell: TypeAlias = int | float | str | bool | None

SCENARIOS: Final = Path(__file__).parent / "scenarios"
KINDS: Final = ("prices", "ofi", "cvd", "fusion", "events")


@dataclass(frozen=True)
class Scenario:
    """One folder."""

    name: str
    frames: list[dict[str, object]]
    ledger: list[dict[str, object]]
    params: dict[str, object]
    expected: dict[str, list[dict[str, Cell]]]


def scenario_folders() -> list[Path]:
    """Return the folders, sorted by name."""
    return sorted(path for path in SCENARIOS.iterdir() if path.is_dir())


def read_scenario(folder: Path) -> Scenario:
    """Return what a folder says."""
    return Scenario(
        name=folder.name,
        frames=read_lines(folder / "spool.ndjson"),
        ledger=read_lines(folder / "ledger.ndjson"),
        params=json.loads((folder / "params.json").read_text("utf-8")),
        expected={kind: read_table(folder / f"{kind}.csv") for kind in KINDS if (folder / f"{kind}.csv").exists()},
    )


def read_table(path: Path) -> list[dict[str, Cell]]:
    """Return the rows of a table, cells by what they look like."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: cell(text) for name, text in row.items()} for row in csv.DictReader(file)]


def cell(text: str) -> Cell:
    """Return a cell: empty is null, true and false are flags, a number is a number."""
    if text in {"", "true", "false"}:
        return None if text == "" else text == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def assert_rows(found: Sequence[Mapping[str, object]], expected: Sequence[Mapping[str, Cell]]) -> None:
    """Compare the columns that `expected` lists; numbers may differ in their tenth digit, a zero may not."""
    shown = [{name: row[name] for name in expected[0]} for row in found] if expected else list(found)
    assert len(shown) == len(expected), shown
    for i, (row, wanted) in enumerate(zip(shown, expected, strict=True)):
        for name, value in wanted.items():
            assert same(row[name], value), f"row {i}, {name}: expected {value!r}, found {row[name]!r} in {row}"


def same(found: object, wanted: Cell) -> bool:
    """Return whether a value is the expected one."""
    if wanted is None or found is None or isinstance(wanted, bool):
        return found is wanted
    if isinstance(wanted, str):
        return found == wanted
    return not isinstance(found, bool) and found == pytest.approx(wanted, rel=1e-10, abs=0)
