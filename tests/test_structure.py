"""The house as its rooms were meant: who collects, who knows the venue's letters, how long a module is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.test_rooms import PACKAGE, RANK

LONGEST_MODULE = 300
LONGEST_BODY = 40
COLLECTING = {"publish", "quality", "analysis", "dataset", "view"}
SPEAKING = {"binance", "exchange", "simulator"}  # the exchange says on the wire what the other reads from it
WIRE_KEYS = {"pu", "lastUpdateId", "nq", "a", "b", "p", "q", "m", "t", "u", "A", "B", "E", "T", "U", "X"}
WIRE_PATH = re.compile(r"(?<![\w.])(\$\.)?data\.([A-Za-z]|pu)\b")


def modules(*, outside: set[str]) -> list[Path]:
    """Return the package's modules but those of some rooms; the order of the rooms is declared in `test_rooms.py`."""
    assert outside <= set(RANK)
    found = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] not in outside]
    assert len(found) > 20
    return found


def test_only_the_edges_collect() -> None:
    """Stages hand on plans; what publishes, checks or reads makes rows of them."""
    inner = modules(outside=COLLECTING)
    found = [path.name for path in inner if re.search(r"\.collect(_all)?\(", path.read_text("utf-8"))]
    assert found == []


def test_the_features_room_touches_no_file() -> None:
    """Its stages are functions of frames: it opens, reads and writes nothing."""
    text = re.compile(r"\b(open|scan_\w+|read_\w+|write_\w+|sink_\w+|Path)\(")
    for path in sorted((PACKAGE / "features").glob("*.py")):
        found = {match[1] for match in text.finditer(path.read_text("utf-8"))}
        # The state is turned into bytes and back, in memory.
        assert found <= ({"write_parquet", "read_parquet"} if path.name == "carry.py" else set()), path.name


@cache
def parsed(path: Path) -> ast.Module:
    """Return the tree of a module."""
    return ast.parse(path.read_text("utf-8"))


def wire_words(tree: ast.Module) -> Iterator[str]:
    """Yield where a module names a key of the wire: a subscript, a field's name, `.get`, or a path in a text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value in WIRE_KEYS:
            yield f"{node.lineno}: [{node.slice.value!r}]"
        elif isinstance(node, ast.Call):
            named = [word.value for word in node.keywords if word.arg == "name"]
            is_get = isinstance(node.func, ast.Attribute) and node.func.attr == "get"
            for one in [*named, *(node.args[:1] if is_get else [])]:
                if isinstance(one, ast.Constant) and one.value in WIRE_KEYS:
                    yield f"{node.lineno}: {one.value!r}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (f"{node.lineno}: {match[0]}" for match in WIRE_PATH.finditer(node.value))


def test_only_two_rooms_know_the_letters_of_the_wire() -> None:
    """A frame's keys are translated once, where it is read."""
    found = [
        f"{path.relative_to(PACKAGE)}:{word}" for path in modules(outside=SPEAKING) for word in wire_words(parsed(path))
    ]
    assert found == []
    seen = wire_words(ast.parse((PACKAGE / "binance" / "frames.py").read_text("utf-8")))
    assert any(seen), "the search finds them where they are"


def test_no_module_is_long() -> None:
    """One job a module: none has more than 300 lines."""
    long = {
        str(path.relative_to(PACKAGE)): lines
        for path in modules(outside=set())
        if (lines := len(path.read_text("utf-8").splitlines())) > LONGEST_MODULE
    }
    assert long == {}


def test_no_function_is_long() -> None:
    """A body without its docstring has at most 40 lines."""
    long: dict[str, int] = {}
    for path in modules(outside=set()):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                lines = (node.end_lineno or first.lineno) - first.lineno + 1
                if lines > LONGEST_BODY:
                    long[f"{path.relative_to(PACKAGE)}:{node.name}"] = lines
    assert long == {}
