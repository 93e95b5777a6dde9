"""The pages that are written from the code are current, and every link of every page leads somewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from ofi_cvd import __version__
from ofi_cvd.cli import reference
from ofi_cvd.schemas import TABLES
from ofi_cvd.settings import Settings, meanings
from ofi_cvd.settings.accepts import accepts

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])


@pytest.mark.parametrize("path", reference.pages(ROOT), ids=lambda path: path.name)
def test_a_generated_page_is_current(path: Path) -> None:
    """`make docs` would change nothing."""
    assert path.read_text("utf-8") == reference.pages(ROOT)[path], "run `make docs`"


def test_every_command_has_its_help_on_the_page() -> None:
    page = reference.command_page()
    for name in ("ofi build", "ofi collect", "ofi sql"):
        assert f"\n## {name}\n\n```text\nUsage: {name} [OPTIONS]" in page


def test_every_setting_has_a_meaning_and_nothing_else_has() -> None:
    named = [name for group in meanings().values() for name in group]
    assert sorted(named) == sorted(Settings.model_fields)
    assert len(named) == len(set(named))


@pytest.mark.parametrize("name", Settings.model_fields)
def test_what_a_setting_accepts_is_said(name: str) -> None:
    words = accepts(Settings.model_fields[name])
    assert words
    assert "string_type" not in words
    assert "Input should" not in words


def test_every_column_is_in_the_dictionary() -> None:
    page = reference.data_dictionary()
    for table in TABLES.values():
        section = page.partition(f"\n## {table.kind}\n")[2].partition("\n## ")[0]
        listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        assert listed == [column.name for column in table.columns]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = [target for target in targets if target and not re.match(r"https?://", target)]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_the_two_commands_come_first() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert readme.index("make demo") < readme.index("make test") < readme.index("## A first session")
    for target in ("demo", "test", "lint", "types", "coverage", "wheel", "bench", "docs"):
        assert re.search(rf"^{target}: ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


def test_constraints_are_names_and_versions_of_every_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9A-Za-z.+!]+", pin)] == []
    pinned = {pin.partition("==")[0] for pin in pins}
    document = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    project = document["project"]
    lists = [
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *document["dependency-groups"].values(),
    ]
    wanted = [one for names in lists for one in names if isinstance(one, str)]
    names = {re.split(r"[\[<>=!~ ;]", one)[0].lower() for one in wanted}
    assert names - {"ofi-cvd"} <= pinned


def test_a_user_gets_no_tools_of_the_tests() -> None:
    """What only developers need is in dependency groups, which a wheel does not carry."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    for_users = [document["project"]["dependencies"], *document["project"]["optional-dependencies"].values()]
    users = {re.split(r"[\[<>=!~ ;]", one)[0] for names in for_users for one in names}
    groups = document["dependency-groups"].values()
    tools = {re.split(r"[\[<>=!~ ;]", one)[0] for names in groups for one in names if isinstance(one, str)}
    assert {"pytest", "ruff", "mkdocs-material"} <= tools
    assert users & tools == set()


def test_the_version_is_said_once_more_and_the_same() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == __version__
    assert f"\n## [{__version__}] - 20" in (ROOT / "CHANGELOG.md").read_text("utf-8")
