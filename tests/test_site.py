"""The docs site: it builds without a warning, holds every page, asks no other machine, and its commands exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer

from ofi_cvd.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md"))
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
LOADING_LINKS = {"stylesheet", "preload", "preconnect", "icon", "prefetch", "modulepreload"}
PLACEHOLDER = re.compile(r"\.\.\.|[<>|…]|\b(FILE|DIR|SPOOL|RATE|SPAN|TIME|X)\b")


class Loads(HTMLParser):
    """Collects what a browser fetches by itself when it opens a page."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "link" and not LOADING_LINKS & set((found.get("rel") or "").split()):
            return
        if url := found.get(LOADED.get(tag, "")):
            self.urls.append(url)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_built_and_in_the_navigation(site: Path) -> None:
    """Whoever adds a page finds it in the navigation of every page, without editing it."""
    home = (site / "index.html").read_text("utf-8")
    navigation = home[home.index('data-md-component="sidebar"') : home.index("<article")]
    for page in PAGES:
        place = page.relative_to(ROOT / "docs").with_suffix("").as_posix().removesuffix("index").removesuffix("/")
        assert (site / place / "index.html").is_file()
        assert f'href="{place}/"' in navigation or place == ""


def test_no_page_loads_anything_from_another_machine(site: Path) -> None:
    """Fonts, scripts, styles and pictures are files of the site."""
    for page in site.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text("utf-8"))
        assert loads.urls
        assert not [url for url in loads.urls if re.match(r"(\w+:)?//", url)]
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text("utf-8"))


def test_the_reader_is_documented_with_its_examples(site: Path) -> None:
    text = (site / "api" / "index.html").read_text("utf-8")
    for name in ("open_dataset", "Dataset.prices", "Dataset.sql", "Dataset.connection"):
        assert f'id="ofi_cvd.dataset.reader.{name}"' in text


def test_search_finds_words_of_the_docs(site: Path) -> None:
    assert "imbalance" in (site / "search" / "search_index.json").read_text("utf-8")


def commands() -> list[tuple[str, str]]:
    """Return every whole `ofi ...` line of a fenced block, with its page."""
    found = []
    for page in [*PAGES, ROOT / "README.md"]:
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE):
            for line in block.splitlines():
                command = re.split(r"\s{2,}|\s#|\s&&", line.strip())[0]
                is_call = command.startswith("ofi ") and not command.startswith("ofi = ")  # a variable of a notebook
                if is_call and not PLACEHOLDER.search(re.sub(r'"[^"]*"|=\S+', "", command)):
                    found.append((page.name, command))
    return found


def test_commands_are_found() -> None:
    assert len(commands()) > 20


@pytest.mark.parametrize(("page", "command"), dict.fromkeys(commands()))
def test_commands_of_the_docs_parse(page: str, command: str) -> None:
    """A command that the docs show exists, with these options."""
    group = typer.main.get_command(app)
    args = shlex.split(command)[1:]
    context = group.make_context("ofi", list(args), resilient_parsing=True)
    while hasattr(group, "resolve_command") and args and not args[0].startswith("-"):
        name, group, args = group.resolve_command(context, args)
        assert group is not None
        if not hasattr(group, "resolve_command"):
            context = group.make_context(name, [part for part in args if part != "--help"], parent=context)
            assert context.command is group
