"""`ofi config`: every effective value and where it came from."""

from __future__ import annotations

import json

import typer

from ofi_cvd.cli import options
from ofi_cvd.common.terminal import out, table
from ofi_cvd.settings.remarks import remarks


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(config)


def config(pairs: options.Set = None, as_json: options.Json = False) -> None:
    """Show every effective setting and where it came from.

    Example: ofi config --set WIN_SECS=600
    """
    effective = options.effective(pairs)
    values = effective.settings.model_dump(mode="json")
    values["book_source"] = effective.settings.source
    if as_json:
        rows = {name.upper(): {"value": value, "origin": effective.origins[name]} for name, value in values.items()}
        facts = {
            "settings": rows,
            "params_fingerprint": effective.settings.fingerprint(),
            "notes": remarks(effective.settings),
        }
        out.print_json(json.dumps(facts))
        return
    listing = table("Effective settings", "name", "value", "origin")
    for name, value in values.items():
        shown = ",".join(value) if isinstance(value, list) else str(value)
        listing.add_row(name.upper(), shown, effective.origins[name])
    out.print(listing)
    out.print(f"parameter fingerprint {effective.settings.fingerprint()}", soft_wrap=True)
    for remark in remarks(effective.settings):
        out.print(f"note: {remark}", soft_wrap=True)
