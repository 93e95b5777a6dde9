"""Ad-hoc SQL reads the dataset and can do nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ofi_cvd import open_dataset
from ofi_cvd.dataset.reader import Dataset
from ofi_cvd.errors import UsageError
from ofi_cvd.quality import readonly
from tests.quality.synthetic import Market, publish


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readonly")
    publish(path, Market(hours=1, tps=1))
    (path / "secret.csv").write_text("a,b\n1,2\n", "utf-8")
    return path


@pytest.fixture
def dataset(root: Path) -> Iterator[Dataset]:
    with open_dataset(root / "ofi_cvd", spool=root / "spool") as opened:
        readonly.guard(opened)
        yield opened


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT count(*) FROM prices", 1),
        ("WITH a AS (SELECT 1 AS x) FROM a", 1),
        ("-- a comment\nEXPLAIN /* twice */ ANALYZE SELECT * FROM ofi", 1),
        ("EXPLAIN SELECT 1", 1),
        ("DESCRIBE prices", 19),
        ("SUMMARIZE fusion", 17),
        ("SELECT DISTINCT event FROM ledger", 3),
        ("FROM events LIMIT 3;", 3),
    ],
)
def test_reading_is_allowed(dataset: Dataset, query: str, rows: int) -> None:
    """What only reads the views works."""
    assert readonly.ask(dataset, query).height == rows


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{root}/out.csv'",
        "COPY prices TO '{root}/ofi_cvd/out.parquet'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{root}/ofi_cvd/out.csv'",
        "EXPLAIN (ANALYZE, FORMAT json) COPY (SELECT 1) TO '{root}/ofi_cvd/out.csv'",
        "ATTACH '{root}/ofi_cvd/x.db'",
        "EXPORT DATABASE '{root}/ofi_cvd/x'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CREATE TABLE t AS SELECT 1",
        "DROP VIEW prices",
        "INSERT INTO prices SELECT * FROM prices",
        "SET enable_external_access = true",
        "PRAGMA database_list",
        "CALL enable_logging()",
        "SELECT 1; COPY (SELECT 1) TO '{root}/ofi_cvd/out.csv'",
        "PIVOT prices ON symbol USING count(*)",
        "",
        "-- nothing",
        "SELEC 1",
    ],
)
def test_anything_but_one_select_is_refused(dataset: Dataset, root: Path, query: str) -> None:
    """The statement is named, and no file appears."""
    before = sorted(root.rglob("*"))
    with pytest.raises(UsageError, match=r"expected (one SELECT|a query)"):
        readonly.ask(dataset, query.format(root=root.as_posix()))
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('{root}/secret.csv')",
        "SELECT * FROM '{root}/secret.csv'",
        "SELECT * FROM read_text('{root}/ofi_cvd/../secret.csv')",
        "SELECT * FROM read_blob('{root}/secret.csv')",
        "SELECT * FROM sniff_csv('{root}/secret.csv')",
        "SELECT * FROM glob('{root}/*')",
        "SELECT * FROM read_csv('https://127.0.0.1:1/x.csv')",
        "SELECT * FROM query('COPY (SELECT 1) TO ''{root}/x.csv''')",
    ],
)
def test_nothing_outside_can_be_read(dataset: Dataset, root: Path, query: str) -> None:
    """Files beside the dataset stay unread, by whatever function."""
    with pytest.raises(UsageError):
        readonly.ask(dataset, query.format(root=root.as_posix()))


def test_the_limits_cannot_be_lifted(dataset: Dataset) -> None:
    """The configuration is locked below the check as well."""
    import duckdb  # noqa: PLC0415

    with pytest.raises(duckdb.InvalidInputException, match="locked"):
        dataset.connection.execute("SET enable_external_access = true")


def test_views_follow_new_files_although_locked(tmp_path: Path) -> None:
    """A guarded dataset still sees what is published after it was opened."""
    data = publish(tmp_path, Market(symbols=("BTCUSDT",), hours=1, tps=1))
    with open_dataset(data) as opened:
        readonly.guard(opened)
        publish(tmp_path, Market(symbols=("ETHUSDT",), hours=1, tps=1))
        assert readonly.ask(opened, "SELECT count(DISTINCT symbol) AS n FROM prices").item() == 2
