"""`ofi reconcile`: recorded trades against those of an archive, id by id."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ofi_cvd.cli import options
from ofi_cvd.common.terminal import out, table
from ofi_cvd.common.times import parse_time, show_time
from ofi_cvd.errors import InputError

if TYPE_CHECKING:
    from ofi_cvd.history.reconcile import Reconciliation


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(reconcile)


def reconcile(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE...", help="archive files to import first", show_default=False)
    ] = None,
    start: Annotated[str | None, typer.Option(metavar="TIME", help="from this UTC time on", show_default=False)] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="up to this UTC time", show_default=False)] = None,
    symbols: options.Symbols = None,
    spool_dir: options.SpoolDir = None,
    pairs: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Compare recorded trades with imported ones, id by id; nothing is changed.

    Exit 0 if they are equal, 1 if they differ, 2 if they have no time in common. The first and the last minute, where
    a recording begins and ends, are counted apart.

    Example: ofi reconcile --symbols BTCUSDT --start 2024-01-05 --end 2024-01-06
    """
    from ofi_cvd.history.reconcile import reconcile as compare  # noqa: PLC0415  # `ofi --help` stays quick

    settings = options.effective(pairs, symbols=symbols, spool_dir=spool_dir).settings
    if files:
        _import(files, settings.spool_dir)
    span_ms = parse_time("--start", start), parse_time("--end", end)
    found = compare(settings.spool_dir, settings.symbols, settings.trade_stream, *span_ms)
    if as_json:
        out.print_json(json.dumps([asdict(one) | {"is_equal": one.is_equal} for one in found]))
    else:
        _show(found)
    comparable = [one for one in found if one.is_comparable]
    if not comparable:
        raise InputError(
            f"expected recorded and imported {settings.trade_stream} of {', '.join(settings.symbols)} with some time in "
            f"common below {settings.spool_dir}, found none; bring an archive in with `ofi import` or `ofi fetch`"
        )
    if not all(one.is_equal for one in comparable):
        raise typer.Exit(1)


def _import(files: list[str], spool_dir: Path) -> None:
    from ofi_cvd.history.detect import expand  # noqa: PLC0415
    from ofi_cvd.history.run import import_files  # noqa: PLC0415

    history = import_files(expand([Path(name) for name in files]), spool_dir)
    if history.faults:
        raise InputError("; ".join(history.faults))


def _show(found: list[Reconciliation]) -> None:
    listing = table(
        "Recorded trades against the archive", "symbol", "stream", "from", "to", ">equal", ">only recorded",
        ">only archive", ">different", ">at the edges", "for example",
    )  # fmt: skip
    for one in found:
        if not one.is_comparable:
            listing.add_row(one.symbol, one.stream, "not comparable", "", "", "", "", "", "", "")
            continue
        counts = (one.equal, one.only_recorded, one.only_archive, one.different, one.at_edges)
        listing.add_row(
            one.symbol, one.stream, show_time(one.start_ms), show_time(one.end_ms), *(f"{count:,}" for count in counts),
            ", ".join(map(str, one.examples)),
        )  # fmt: skip
    out.print(listing)
