"""The walk of a trade in docs/architecture.md: its files exist, and its numbers are those of the list."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "architecture.md").read_text("utf-8")
WALK = re.findall(r"^\d+\. `(ofi_cvd/(\w+)/\w+\.py)`", TEXT, re.MULTILINE)


def test_every_file_of_the_walk_exists_and_is_visited_once() -> None:
    files = [path for path, _ in WALK]
    assert len(files) > 15
    assert [path for path in files if not (ROOT / path).is_file()] == []
    assert len(set(files)) == len(files)


def test_the_numbers_of_the_walk_are_counted() -> None:
    rooms = [room for room, _ in groupby(room for _, room in WALK)]
    again = sorted({room for room in rooms if rooms.count(room) > 1})
    listed = f" ({', '.join(f'`{room}`' for room in again)})" if again else ""
    numbers = f"**Numbers of this walk**: {len(WALK)} files; rooms entered more than once: {len(again)}{listed}."
    assert numbers in TEXT
