"""`ofi status`: what is recorded, what is published, what is missing."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from ofi_cvd.cli import options
from ofi_cvd.cli.console import out, table
from ofi_cvd.cli.times import show_time


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(status)


def status(
    symbols: options.Symbols = None,
    spool_dir: options.SpoolDir = None,
    data_dir: options.DataDir = None,
    state_dir: options.StateDir = None,
    pairs: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Show what is recorded and published, and what is missing.

    Example: ofi status --json
    """
    from ofi_cvd.publish.status import status as figures  # noqa: PLC0415  # keeps `ofi --help` quick

    settings = options.effective(
        pairs, symbols=symbols, spool_dir=spool_dir, data_dir=data_dir, state_dir=state_dir
    ).settings
    found = figures(settings)
    if as_json:
        out.print_json(json.dumps({symbol: asdict(one) for symbol, one in found.items()}))
        return
    listing = table(
        "Recorded and published", "symbol", ">MB spool", "recorded to", "published to", ">hours final/open",
        ">unread MB", ">missing hours", ">missing ids", "lines not used",
    )  # fmt: skip
    for symbol, one in found.items():
        unused = {**one.refused, **one.objections}
        listing.add_row(
            symbol,
            f"{one.spool_bytes / 1e6:,.1f}",
            "-" if one.recorded_to_ms is None else show_time(one.recorded_to_ms),
            "-" if one.published_to_ms is None else show_time(one.published_to_ms),
            f"{one.final_hours}/{one.open_hours}",
            f"{one.unread_bytes / 1e6:,.1f}",
            str(one.missing_hours),
            str(one.trade_ids_missing),
            ", ".join(f"{reason} {count}" for reason, count in unused.items()) or "-",
        )
    out.print(listing)
