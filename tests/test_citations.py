"""Every page and section that code, SQL or a test cites is in this repository."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("ofi_cvd", "sql", "tests", "benchmarks", "ops", "notebooks")
SUFFIXES = {".py", ".sql", ".yml", ".yaml", ".md", ".json", ".service", ".toml", ".css", ".js", ".html"}
CITATION = re.compile(r"\bdocs/[\w./-]+?\.md(?:#[\w-]*)?")
UNRESOLVABLE = re.compile(r"\b(?:SPEC|PROTOCOL)(?:\.md)?,?\s+(?:sections?\s+)?\d")
CODE = re.compile(r"`((?:\w+/)+(?:\w+\.py)?)`")
OTHERS = {"comparison.md", "protocol.md"}  # they name files of other projects


def sources() -> list[Path]:
    """Return the files of ours that may cite a page."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES]
    found += [ROOT / name for name in ("Makefile", "mkdocs.yml", "pyproject.toml", ".ci/run")]
    assert len(found) > 200
    return sorted(path for path in found if path != Path(__file__))


def slug(heading: str) -> str:
    """Return the anchor that the site gives a heading."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def unresolved(citation: str, folder: Path = ROOT) -> bool:
    """Return whether a citation leads nowhere."""
    name, _, anchor = citation.partition("#")
    page = (folder / name).resolve()
    return not page.is_file() or (bool(anchor) and page.suffix == ".md" and anchor not in anchors(page))


def test_every_citation_resolves() -> None:
    cited = {
        (path.relative_to(ROOT).as_posix(), citation)
        for path in sources()
        for citation in CITATION.findall(path.read_text("utf-8"))
    }
    assert [(path, citation) for path, citation in sorted(cited) if unresolved(citation)] == []


def test_the_check_notices_a_wrong_citation() -> None:
    assert unresolved("docs/specification/trades.md#no-such-section")
    assert unresolved("docs/no-such-page.md")
    assert not unresolved("docs/specification/trades.md#epochs")


def test_nothing_cites_a_document_outside_the_repository() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in sources()
        for match in UNRESOLVABLE.finditer(path.read_text("utf-8"))
    ]
    assert found == []


def test_links_between_pages_lead_to_a_heading() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    wrong = []
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"https?://", target)]
        local = [target if target[0] != "#" else page.name + target for target in targets]
        wrong += [(page.name, target) for target in local if ".md" in target and unresolved(target, page.parent)]
    assert wrong == []


def test_code_that_a_page_names_exists() -> None:
    pages = (ROOT / "docs").rglob("*.md")
    named = {(page.name, path) for page in pages for path in CODE.findall(page.read_text("utf-8"))}
    ours = {(page, path) for page, path in named if page not in OTHERS and path.endswith(".py")}
    assert [
        one for one in sorted(ours) if not any((base / one[1]).is_file() for base in (ROOT, ROOT / "ofi_cvd"))
    ] == []
    assert ("trades.md", "ofi_cvd/features/trades.py") in named
