"""`ofi sql`: questions to the dataset, named or ad hoc; it only reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from ofi_cvd.cli import options, sql_show
from ofi_cvd.common.files import write_whole
from ofi_cvd.common.terminal import out
from ofi_cvd.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

Format = Literal["table", "csv", "json", "parquet"]


class _SqlCommand(TyperCommand):
    """`ofi sql NAME --help` is the help of that query."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Answer `NAME --help` before anything else is read."""
        if len(args) == 2 and args[1] == "--help" and args[0].isidentifier():
            from ofi_cvd.quality import queries  # noqa: PLC0415

            out.print(sql_show.help_text(queries.load(args[0])), markup=False, soft_wrap=True)
            raise typer.Exit
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(cls=_SqlCommand)(sql)


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
        _list(form)
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


def _list(form: Format) -> None:
    from ofi_cvd.quality import queries  # noqa: PLC0415

    found = [queries.load(name) for name in queries.names()]
    if form == "json":
        out.print_json(json.dumps([sql_show.facts(query) for query in found]))
    else:
        sql_show.show_list(found)


def _write(frame: pl.DataFrame, form: Format, save: Path | None) -> None:
    if form == "table" and save is None:
        sql_show.show(frame)
        return
    from ofi_cvd.quality import adhoc  # noqa: PLC0415

    content = adhoc.encode(frame, "csv" if form == "table" else form)
    if save is not None:
        write_whole(save, content)
    else:
        sys.stdout.buffer.write(content)
