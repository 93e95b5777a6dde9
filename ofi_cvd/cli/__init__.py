"""The Typer commands: parse, call, print, map errors to exit codes; nothing else."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated

import typer

from ofi_cvd import __version__
from ofi_cvd.cli import runner
from ofi_cvd.common.terminal import out

COMMAND_MODULES = (
    "analyze",
    "build",
    "collect",
    "compact",
    "config",
    "demo",
    "dq",
    "exchange",
    "fetch",
    "harvest",
    "import_",
    "reconcile",
    "seal",
    "simulate",
    "sql",
    "status",
    "view",
)

app = typer.Typer(
    name="ofi",
    no_args_is_help=True,
    cls=runner.CommandGroup,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Record, build, check and explore labelled order-flow datasets.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"ofi-cvd {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # typer calls back before a command runs
        bool, typer.Option("--version", help="show the version", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Record, build, check and explore labelled order-flow datasets."""


for _module in COMMAND_MODULES:
    importlib.import_module(f"ofi_cvd.cli.{_module}").register(app)


def main() -> None:
    """Run the command line; an error of ours becomes one sentence on stderr and its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without our letters shows a question mark, not a fault
    sys.exit(runner.run(app))
