"""The order of the rooms: an import points down, never up, never in a circle, and takes no private name along."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "ofi_cvd"
ORDER = (  # lowest first; rooms of one line do not import each other
    ("errors",),
    ("schemas",),
    ("settings",),
    ("common",),
    ("binance",),
    ("spool",),
    ("collect",),
    ("features",),
    ("store", "engine"),
    ("publish",),
    ("dataset",),
    ("quality",),
    ("analysis",),
    ("monitor",),
    ("view",),
    ("history",),
    ("harvest",),
    ("simulator",),
    ("exchange",),
    ("demo",),
    ("cli",),
)
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def modules() -> dict[str, ast.Module]:
    """Return every module of a room by its dotted name below the package."""
    found = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): ast.parse(path.read_text("utf-8"))
        for path in PACKAGE.rglob("*.py")
    }
    return {
        name.removesuffix(".__init__"): tree for name, tree in found.items() if name not in {"__init__", "__main__"}
    }


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for every name that a module imports from the package; the name is empty for a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "ofi_cvd":
            module = (node.module or "").partition(".")[2]
            yield from ((module, alias.name) for alias in node.names if module or not alias.name.startswith("__"))
        elif isinstance(node, ast.Import):
            yield from ((alias.name[8:], "") for alias in node.names if alias.name.startswith("ofi_cvd."))


def edges() -> Iterator[tuple[str, str, str]]:
    """Yield (importing module, imported module, name)."""
    known = modules()
    for name, tree in known.items():
        for module, taken in imports(tree):
            whole = f"{module}.{taken}".strip(".")
            yield name, whole if whole in known else module, taken


def test_every_room_has_its_place() -> None:
    rooms = {name.partition(".")[0] for name in modules()}
    assert rooms <= set(RANK)


def test_the_architecture_page_lists_the_rooms_in_this_order() -> None:
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text("utf-8")
    section = page.partition("## Rooms")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    lines = [re.findall(r"`(\w+)(?:/|\.py)`", cell) for cell in first_cells]
    listed = [room for rooms in lines for room in rooms]
    assert sorted(listed) == sorted({name.partition(".")[0] for name in modules()})
    pairs = [
        (low, high) for at, rooms in enumerate(lines) for low in rooms for later in lines[at + 1 :] for high in later
    ]
    assert [pair for pair in pairs if RANK[pair[0]] >= RANK[pair[1]]] == []


def test_no_import_runs_up() -> None:
    found = list(edges())
    assert len(found) > 300
    rooms = {(name, other): (name.partition(".")[0], other.partition(".")[0]) for name, other, _ in found}
    up = [pair for pair, (room, other) in rooms.items() if room != other and RANK[other] >= RANK[room]]
    assert sorted(up) == []


def test_no_circle() -> None:
    """Not even one that is hidden in a function or kept for the type checker."""
    graph: dict[str, set[str]] = {}
    known = modules()
    for name, tree in known.items():
        for module, taken in imports(tree):
            whole = f"{module}.{taken}".strip(".")
            graph.setdefault(name, set()).add(whole if whole in known else module)
    order = TopologicalSorter({name: others - {name} for name, others in graph.items()}).static_order()
    assert len(tuple(order)) > 100  # a circle raises CycleError and names its modules


def test_no_private_name_leaves_its_room() -> None:
    taken = [
        f"{name}: {other}.{word}"
        for name, other, word in edges()
        if name.partition(".")[0] != other.partition(".")[0] and word.startswith("_") and not word.startswith("__")
    ]
    assert taken == []
