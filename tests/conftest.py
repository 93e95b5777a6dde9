"""What every test shares: a terminal of no fixed width, and which tests want the machine for themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A check that guards a change looks at the same examples each time; people and longer runs look for new ones.
# No example has a deadline: how long one takes says what else the machine does. A failure prints how to see it again.
settings.register_profile("free", deadline=None, print_blob=True)
settings.register_profile("ci", derandomize=True, database=None, deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "free")

# xdist tells its workers the width of the terminal; the console would take it when it is made and heed no test after.
os.environ.pop("COLUMNS", None)

# Recorders, exchanges and senders that must keep up with real time: beside another test they would measure that test.
EXCLUSIVE = {
    "collect/test_faults.py",
    "collect/test_kill.py",
    "collect/test_process.py",
    "collect/test_rotation.py",
    "collect/test_trouble.py",
    "demo/test_demo.py",
    "exchange/test_flood.py",
    "harvest/test_harvest.py",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, so that `-m exclusive` and `-m "not exclusive"` share the suite out."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).as_posix() in EXCLUSIVE:
            item.add_marker(pytest.mark.exclusive)
