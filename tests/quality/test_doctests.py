"""The examples in docstrings of the reader, the reports and the monitor run as they are printed."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = (
    "cli.times", "dataset", "monitor.alerts", "monitor.metrics", "monitor.rules", "parts", "quality.queries",
    "quality.window",
)  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    """There is at least one, and it is right."""
    found = doctest.testmod(importlib.import_module(f"ofi_cvd.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
