"""`ofi status`: what is recorded, what is published, what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from ofi_cvd.cli import options
from ofi_cvd.common.terminal import out, table
from ofi_cvd.common.times import show_time

if TYPE_CHECKING:
    from ofi_cvd.publish.status import SymbolStatus


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
        "Recorded and published (UTC)", "symbol", ">MB", "recorded to", "published to", ">hours final", ">open"
    )
    for symbol, one in found.items():
        listing.add_row(
            symbol,
            f"{one.spool_bytes / 1e6:,.1f}",
            _shown(one.recorded_to_ms),
            _shown(one.published_to_ms),
            str(one.final_hours),
            str(one.open_hours),
        )
    out.print(listing)
    lacks = [f"{symbol}: {', '.join(words)}" for symbol, one in found.items() if (words := list(_lacks(one)))]
    out.print("\n".join(lacks) or "Nothing is missing: every trade id is there, everything recorded is published.")


def _shown(ms: int | None) -> str:
    return "-" if ms is None else show_time(ms)[:16]


def _lacks(one: SymbolStatus) -> Iterator[str]:
    """Yield what a symbol lacks, in words."""
    if not one.spool_bytes:
        yield "nothing recorded"
    if one.trade_ids_missing:
        yield f"{one.trade_ids_missing:,} trade ids missing"
    if one.missing_hours:
        yield f"{one.missing_hours:,} hours not published"
    if one.unread_bytes:
        yield f"{one.unread_bytes / 1e6:,.1f} MB not built yet"
    for reason, count in {**one.refused, **one.objections}.items():
        yield f"{count:,} lines not used ({reason})"
