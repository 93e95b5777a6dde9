"""What an ad-hoc query may do: read the dataset and the ledger, nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import duckdb
import polars as pl

from ofi_cvd.dataset.reader import Dataset
from ofi_cvd.errors import UsageError

_COMMENT: Final = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_EXPLAIN: Final = re.compile(rf"(?is)^{_COMMENT}explain\b(?:{_COMMENT}analyze\b|{_COMMENT}\([^)]*\))?")


def guard(dataset: Dataset) -> None:
    """Shut the dataset's connection in: files of the dataset and the spool only, no extension, settings locked."""
    folders = [str(folder.resolve()) + "/" for folder in (dataset.path, dataset.spool) if folder is not None]
    folders += [str(folder) + "/" for folder in (dataset.path, dataset.spool) if folder is not None]
    shut_in(dataset.connection, folders)


def shut_in(connection: duckdb.DuckDBPyConnection, folders: Sequence[str]) -> None:
    """Limit a connection to reading `folders`, for good: the limits cannot be lifted from SQL."""
    listed = "[" + ", ".join("'" + folder.replace("'", "''") + "'" for folder in folders) + "]"
    connection.execute(f"SET allowed_directories = {listed}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def check(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Refuse what is not one SELECT (or EXPLAIN of one); inside the allowed folders DuckDB itself would write.

    Raises:
        UsageError: another statement, several, none, or text that is no SQL.
    """
    explain = _EXPLAIN.match(query)
    try:
        statements = connection.extract_statements(query[explain.end() :] if explain else query)
    except duckdb.Error as error:
        raise UsageError(f"expected a query, found {_first_line(error)}") from None
    kinds = [statement.type.name for statement in statements]
    if kinds != ["SELECT"]:
        found = ", ".join(kinds) or "nothing"
        hint = "; name the columns of a PIVOT with IN (...)" if kinds == ["MULTI"] else ""
        raise UsageError(
            f"expected one SELECT, for `ofi sql` only reads (--out FILE keeps the answer), found {found}{hint}"
        )


def ask(dataset: Dataset, query: str, **params: object) -> pl.DataFrame:
    """Check and run one query on a guarded dataset.

    Raises:
        UsageError: it is not a SELECT, it is wrong, or it reaches outside of the dataset.
    """
    check(duckdb.connect(), query)
    try:
        return dataset.sql(query, **params)
    except duckdb.PermissionException as error:
        raise UsageError(
            f"expected a query over the dataset, found one that reaches outside: {_first_line(error)}"
        ) from None
    except duckdb.Error as error:
        raise UsageError(
            f"expected a query over prices, ofi, cvd, fusion, events, ledger: {_first_line(error)}"
        ) from None


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
