"""The one loader of `sql/`: a file is a question with a header that says purpose, grain and parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from ofi_cvd.errors import InputError, UsageError

_PACKAGE: Final = Path(__file__).parents[1]
_CHECKOUT: Final = _PACKAGE.parent / "sql"
SQL_DIR: Final = _CHECKOUT if (_PACKAGE.parent / "pyproject.toml").is_file() else _PACKAGE / "_sql"
_PARAM: Final = re.compile(r"\$(\w+) ([A-Z]+(?:\[\])?) (.+)")


@dataclass(frozen=True)
class Param:
    """One bound value of a query: its SQL type and what it means."""

    name: str
    type: str
    meaning: str

    def parse(self, text: str) -> object:
        """Return the value that `text` stands for on the command line; lists are `A,B`.

        Raises:
            UsageError: it is not of the type.

        Example:
            >>> Param("symbols", "VARCHAR[]", "").parse("BTCUSDT,ETHUSDT")
            ['BTCUSDT', 'ETHUSDT']
        """
        convert = {"BIGINT": int, "DOUBLE": float}.get(self.type.removesuffix("[]"), str)
        try:
            if self.type.endswith("[]"):
                return [convert(part.strip()) for part in text.split(",") if part.strip()]
            return convert(text)
        except ValueError:
            raise UsageError(f"--param {self.name}: expected {self.type}, found {text!r}") from None


@dataclass(frozen=True)
class Query:
    """One file of `sql/`."""

    name: str
    purpose: str
    grain: str
    params: tuple[Param, ...]
    text: str

    def run(self, connection: duckdb.DuckDBPyConnection, values: Mapping[str, object]) -> pl.DataFrame:
        """Return the answer over the views of `connection`; of `values`, the declared parameters are bound.

        Raises:
            UsageError: a parameter has no value.
        """
        absent = [param.name for param in self.params if param.name not in values]
        if absent:
            raise UsageError(
                f"{self.name}: expected a value for {', '.join('$' + name for name in absent)}, found none"
            )
        bound = {param.name: values[param.name] for param in self.params}
        frame: pl.DataFrame = connection.sql(self.text, params=bound or None).pl()
        return frame


@cache
def load(name: str) -> Query:
    """Return the query of `sql/<name>.sql`.

    Raises:
        InputError: there is no such file.

    Example:
        >>> load("empty_minutes").grain
        'one row per symbol of the run'
    """
    path = SQL_DIR / f"{name}.sql"
    if not re.fullmatch(r"\w+", name) or not path.is_file():
        raise InputError(f"expected one of {', '.join(names())}, found {name!r}")
    return parse(name, path.read_text("utf-8"))


def names() -> list[str]:
    """Return the names of all queries."""
    return sorted(path.stem for path in SQL_DIR.glob("*.sql"))


def parse(name: str, text: str) -> Query:
    """Return the query a file's text holds.

    Raises:
        InputError: the header lacks its purpose or its grain.
    """
    header: list[str] = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        header.append(line.removeprefix("--").strip())
    facts = [line for line in header if line.startswith(("grain:", "params:", "$"))]
    purpose = " ".join(line for line in header if line not in facts)
    grain = " ".join(line.removeprefix("grain:").strip() for line in facts if line.startswith("grain:"))
    if not purpose or not grain:
        raise InputError(f"{name}.sql: expected a header with a purpose and `-- grain:`, found {text[:80]!r}")
    found = (_PARAM.search(line) for line in facts)
    return Query(name, purpose, grain, tuple(Param(*match.groups()) for match in found if match), text)
