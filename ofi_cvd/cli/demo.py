"""`ofi demo`: the whole flow on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ofi_cvd.cli import options
from ofi_cvd.common.terminal import err, out
from ofi_cvd.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(demo)


def demo(
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="emptied, then written to")] = Path("data/demo"),
    hours: Annotated[float, typer.Option("--hours", help="length of the simulated recording")] = 4.0,
    seconds: Annotated[float, typer.Option("--seconds", help="length of the live recording")] = 20.0,
    seed: Annotated[int, typer.Option("--seed", help="seed of the simulated markets", min=0)] = 0,
    captures: Annotated[
        Path, typer.Option("--captures", metavar="DIR", help="captures of the real exchange; left out if absent")
    ] = Path("../shared/data"),
    as_json: options.Json = False,
) -> None:
    """Show the whole flow on this machine: simulate, build, check, record through a kill; no network.

    Example: ofi demo --dir data/demo --hours 2
    """
    for name, value, most in (("--hours", hours, 72), ("--seconds", seconds, 300)):
        if not 0 < value <= most:
            raise InputError(f"{name}: expected a number above 0, {most} at most, found {value:g}")
    from ofi_cvd.demo.run import Plan, run  # noqa: PLC0415  # keeps `ofi --help` quick

    facts = run(
        Plan(folder, hours=hours, seconds=seconds, seed=seed, captures=captures), console=err if as_json else out
    )
    if as_json:
        out.print_json(json.dumps(facts))
