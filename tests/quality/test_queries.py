"""Files of sql/: headers that tell the truth, and one loader."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from ofi_cvd import open_dataset
from ofi_cvd.errors import InputError, UsageError
from ofi_cvd.quality import queries
from ofi_cvd.quality.figures import CHARTS, GATES
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings
from tests.quality.synthetic import Market, publish

MARKET = Market(hours=1, tps=1)
PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", queries.names())
def test_declared_parameters_are_the_bound_ones(name: str) -> None:
    """The header lists exactly the `$names` that the statement has, each with type and meaning."""
    query = queries.load(name)
    statements = duckdb.connect().extract_statements(query.text)
    assert len(statements) == 1
    assert statements[0].named_parameters == {param.name for param in query.params}
    assert all(param.type.removesuffix("[]") in {"BIGINT", "DOUBLE", "VARCHAR"} for param in query.params)
    assert query.grain.startswith("one row")
    assert query.purpose.endswith(".")


@pytest.mark.parametrize("name", queries.names())
def test_nothing_is_formatted_into_a_statement(name: str) -> None:
    """No template marks: values are bound."""
    assert not re.search(r"\{\w*\}|%s|\?", re.sub(r"'[^']*'|--.*", "", queries.load(name).text))


def test_every_figure_of_the_reports_has_a_file() -> None:
    """The names that reports ask for exist."""
    assert set(GATES + CHARTS) | {"duplicates_received", "absent_ids", "recorded_span"} <= set(queries.names())


@pytest.mark.parametrize(
    "name", [name for name in queries.names() if name not in {"duplicates_received", "absent_ids"}]
)
def test_every_query_answers_on_a_dataset_without_files(tmp_path: Path, name: str) -> None:
    """An empty dataset is an answer, not an error."""
    window = Window(MARKET.start_ms, MARKET.end_ms, MARKET.symbols)
    empty = {"published_symbols": [], "published_kinds": [], "published_starts": [], "published_ends": []}
    values = window.values(Settings()) | empty | {"published_rows": [], "bucket_ms": 60_000}
    with open_dataset(tmp_path, missing_ok=True) as dataset:
        frame = dataset.read(lambda connection: queries.load(name).run(connection, values))
    assert frame.width > 0


def test_the_same_question_has_the_same_answer_after_compaction(tmp_path: Path) -> None:
    """How rows lie in files changes no figure."""
    from ofi_cvd.publish.compact import compact  # noqa: PLC0415

    data = publish(tmp_path, Market(hours=2, tps=1, slice_secs=300))
    window = Window(MARKET.start_ms, MARKET.end_ms, MARKET.symbols)
    values = window.values(Settings())
    names = ("rows", "latency", "winsor", "trade_ids", "slowest_window", "coverage_session", "z_distribution")

    def ask() -> list[object]:
        with open_dataset(data) as dataset:
            return dataset.read(lambda con: [queries.load(name).run(con, values).to_dicts() for name in names])

    before = ask()
    assert compact(data).merged == 10
    assert ask() == before


def test_a_missing_value_and_an_unknown_query_are_named() -> None:
    """The sentence says what to give."""
    with pytest.raises(UsageError, match=r"expected a value for \$symbols, \$start_ms"):
        queries.load("rows").run(duckdb.connect(), {"end_ms": 1})
    with pytest.raises(InputError, match="expected one of absent_ids, book_breaks"):
        queries.load("../../etc/passwd")


def test_a_header_without_a_grain_is_refused() -> None:
    """A file says what a row is."""
    with pytest.raises(InputError, match="grain"):
        queries.parse("x", "-- Purpose.\nSELECT 1")


def test_the_wheel_carries_the_files(tmp_path: Path) -> None:
    """Outside of a checkout the loader finds them inside the package."""
    package = tmp_path / "site" / "ofi_cvd"
    (package / "quality").mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "quality/__init__.py", "quality/queries.py"):
        (package / name).write_bytes((PROJECT / "ofi_cvd" / name).read_bytes())
    (package / "_sql").mkdir()
    (package / "_sql" / "rows.sql").write_bytes((PROJECT / "sql" / "rows.sql").read_bytes())
    code = "from ofi_cvd.quality import queries; print(queries.names(), queries.load('rows').grain)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=package.parent, check=True, capture_output=True, text=True, encoding="utf-8"
    )
    assert run.stdout.startswith("['rows'] one row per symbol")
    assert '"sql" = "ofi_cvd/_sql"' in (PROJECT / "pyproject.toml").read_text("utf-8")
