"""How an answer of `ofi sql` looks on a terminal: a table where it fits, else one record below the other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ofi_cvd.common.terminal import err, out, table
from ofi_cvd.common.times import utc

if TYPE_CHECKING:
    import polars as pl

    from ofi_cvd.quality.queries import Query

TABLE_ROWS = 200
RECORD_ROWS = 20
_INSTANT = re.compile(r"(?:\w+_)?(?:ts|start|end|first|last|hour|minute|bin|bucket|from|to|at|begin|opens|funding)_ms")
_FROM_2001_MS = 10**12  # below it a column of this name is a length


def show(frame: pl.DataFrame) -> None:
    """Print an answer."""
    kinds = {name: dtype.is_numeric() for name, dtype in frame.schema.items()}
    rows = [
        [_cell(name, value) for name, value in zip(kinds, row, strict=True)]
        for row in frame.head(TABLE_ROWS).iter_rows()
    ]
    widths = [max([len(name), *(len(row[at]) for row in rows)]) for at, name in enumerate(kinds)]
    shown = len(rows)
    if sum(widths) + 3 * len(widths) <= out.width or not rows:
        listing = table("", *((">" if is_number else "") + name for name, is_number in kinds.items()))
        listing.title = None
        for row in rows:
            listing.add_row(*row)
        out.print(listing, markup=False)
    else:
        shown = min(len(rows), RECORD_ROWS)
        _show_records(list(kinds), rows[:shown])
    if frame.height > shown:
        err.print(f"{shown} of {frame.height} rows shown; --format csv writes all", soft_wrap=True)


def show_list(queries: list[Query]) -> None:
    """Print the names of queries and what each is for."""
    listing = table("Queries", "name", "purpose")
    listing.columns[0].no_wrap = True
    for query in queries:
        listing.add_row(query.name, query.purpose.partition(". ")[0].rstrip(".") + ".")
    out.print(listing, markup=False)
    out.print("`ofi sql NAME --help` shows the parameters of one.", markup=False, soft_wrap=True)


def help_text(query: Query) -> str:
    """Return the help of one query: purpose, what a row is, parameters."""
    lines = [
        f"Usage: ofi sql {query.name} [--param NAME=VALUE]",
        "",
        f"  {query.purpose}",
        f"  A row: {query.grain}",
        "",
    ]
    width = max((len(param.name) + len(param.type) + 1 for param in query.params), default=0)
    lines += ["Parameters (by default those of everything stored):"] if query.params else ["It has no parameters."]
    lines += [f"  {f'{param.name} {param.type}':<{width}}  {param.meaning}" for param in query.params]
    return "\n".join(lines)


def facts(query: Query) -> dict[str, object]:
    """Return a query as JSON facts."""
    params = [{"name": param.name, "type": param.type, "meaning": param.meaning} for param in query.params]
    return {"name": query.name, "purpose": query.purpose, "grain": query.grain, "params": params}


def _show_records(names: list[str], rows: list[list[str]]) -> None:
    width = max(map(len, names))
    for number, row in enumerate(rows, 1):
        out.print(f"--- row {number} ---", markup=False)
        for name, cell in zip(names, row, strict=True):
            out.print(f"{name:<{width}}  {cell}".rstrip(), markup=False, soft_wrap=True)


def _cell(name: str, value: object) -> str:
    """Return a value as text: floats to eight digits, instants in ms with their UTC time."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.8g}"
    if isinstance(value, int) and value >= _FROM_2001_MS and _INSTANT.fullmatch(name):
        return f"{value}  {utc(value):%Y-%m-%d %H:%M:%S}.{value % 1000:03d}"
    return str(value)
