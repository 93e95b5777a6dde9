"""`ofi sql`: questions to the dataset, named or ad hoc; it only reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ofi_cvd.cli import options
from ofi_cvd.common.terminal import err, out, table
from ofi_cvd.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

Format = Literal["table", "csv", "json", "parquet"]
_SHOWN = 200


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(sql)


def sql(
    query: Annotated[str | None, typer.Argument(help="a file of sql/ by name, or a SELECT in quotes")] = None,
    *,
    param: Annotated[list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="a bound value")] = None,
    form: Annotated[Format, typer.Option("--format", help="how the answer is written")] = "table",
    save: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="write the answer there")] = None,
    listing: Annotated[bool, typer.Option("--list", help="show every file of sql/")] = False,
    data_dir: options.DataDir = None,
    spool_dir: options.SpoolDir = None,
    state_dir: options.StateDir = None,
    pairs: options.Set = None,
) -> None:
    """Ask the dataset; views: prices, ofi, cvd, fusion, events, ledger.

    Example: ofi sql "SELECT symbol, count(*) AS n FROM prices GROUP BY symbol"
    """
    if listing:
        _list()
        return
    if query is None:
        raise UsageError("expected the name of a query (`ofi sql --list`) or a SELECT in quotes, found nothing")
    if form == "parquet" and save is None:
        raise UsageError("--format parquet: expected --out FILE, for Parquet is no text")
    settings = options.effective(pairs, data_dir=data_dir, spool_dir=spool_dir, state_dir=state_dir).settings
    from ofi_cvd.quality import adhoc  # noqa: PLC0415  # keeps `ofi --help` quick

    frame = adhoc.answer(query, dict(_pair(text) for text in param or []), settings)
    _write(frame, form, save)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--param: expected NAME=VALUE, found {text!r}")
    return name, value


def _list() -> None:
    from ofi_cvd.quality import queries  # noqa: PLC0415

    listing = table("Queries", "name", "purpose", "a row", "parameters")
    for name in queries.names():
        query = queries.load(name)
        params = "\n".join(f"{param.name} {param.type}" for param in query.params)
        listing.add_row(name, query.purpose, query.grain.removeprefix("one row ").removeprefix("per "), params)
    out.print(listing)


def _write(frame: pl.DataFrame, form: Format, save: Path | None) -> None:
    if form == "table" and save is None:
        _show(frame)
        return
    from ofi_cvd.quality import adhoc  # noqa: PLC0415

    content = adhoc.encode(frame, "csv" if form == "table" else form)
    if save is not None:
        save.write_bytes(content)
    else:
        sys.stdout.buffer.write(content)


def _show(frame: pl.DataFrame) -> None:
    columns = [(">" if dtype.is_numeric() else "") + name for name, dtype in frame.schema.items()]
    shown = table("", *columns)
    shown.title = None
    for row in frame.head(_SHOWN).iter_rows():
        shown.add_row(*("" if value is None else str(value) for value in row))
    out.print(shown, markup=False)
    if frame.height > _SHOWN:
        err.print(f"{_SHOWN} of {frame.height} rows shown; --format csv writes all", soft_wrap=True)
