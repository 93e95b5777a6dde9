"""The first page is short, and what it shows is what its commands print."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from docs import first_page

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def timeless(text: str) -> list[str]:
    """Return lines without what differs between two runs: how long it took, and the width of a table's rules."""
    return [re.sub(r" in [\d.]+ s$", "", line) for line in text.splitlines() if line]


def test_it_is_short_and_its_picture_is_small() -> None:
    assert len(TEXT.splitlines()) < 150
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", TEXT)
    assert (ROOT / picture) == first_page.PICTURE
    assert (ROOT / picture).stat().st_size < 200_000


def test_limits_are_on_the_first_screen() -> None:
    assert TEXT[: TEXT.index("## Limits")].count("\n") < 20


def test_the_first_session_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (console,) = blocks("console")
    assert timeless(first_page.session(console, tmp_path)) == timeless(console)
    (python,) = blocks("python")
    shown = re.search(r"# ([\d.]+)$", python, re.MULTILINE)
    assert shown
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(python, {})
    assert printed.getvalue().strip() == shown[1]


def test_commands_that_prove_a_fact_name_files_that_exist() -> None:
    table = TEXT[TEXT.index("## Why trust it") :]
    named = re.findall(r"(?:tests|benchmarks)/[\w/]+\.py", table)
    assert len(named) >= 5
    assert [path for path in named if not (ROOT / path).is_file()] == []
