"""Completes the navigation of `mkdocs.yml`: every page of docs/ is in it, whoever wrote it."""  # noqa: INP001  # a hook

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

MORE = "More"
DECISIONS = "Decisions"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the decisions, and pages without a place under `More`; leave out places whose page is not there."""
    folder = Path(config.docs_dir)
    pages = {path.relative_to(folder).as_posix() for path in folder.rglob("*.md")}
    decisions = sorted(page for page in pages if page.startswith("decisions/"))
    nav = [entry for entry in (_present(entry, pages) for entry in config.nav or []) if entry]
    rest = sorted(pages - set(_pages(nav)) - set(decisions))
    config.nav = nav + [{name: found} for name, found in ((MORE, rest), (DECISIONS, decisions)) if found]
    return config


def _present(entry: Any, pages: set[str]) -> Any:  # mkdocs: a page, or {title: page or list}
    if isinstance(entry, str):
        return entry if entry in pages else None
    ((title, inside),) = entry.items()
    if isinstance(inside, str):
        return entry if inside in pages else None
    kept = [part for part in (_present(part, pages) for part in inside) if part]
    return {title: kept} if kept else None


def _pages(nav: list[Any]) -> Iterator[str]:
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        else:
            for inside in entry.values():
                yield from _pages(inside if isinstance(inside, list) else [inside])
