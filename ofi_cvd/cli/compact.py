"""`ofi compact`: fewer, larger files."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from ofi_cvd.cli import options
from ofi_cvd.common.terminal import out


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(compact)


def compact(
    symbols: options.Symbols = None,
    data_dir: options.DataDir = None,
    state_dir: options.StateDir = None,
    pairs: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Merge the slices of closed hours into one file an hour; readers may go on reading.

    Example: ofi compact
    """
    settings = options.effective(pairs, symbols=symbols, data_dir=data_dir, state_dir=state_dir).settings
    from ofi_cvd.dataset.reader import open_dataset  # noqa: PLC0415

    with open_dataset(settings.data_dir):
        pass  # refuses what is no dataset
    from ofi_cvd.publish.compact import compact as merge  # noqa: PLC0415  # keeps `ofi --help` quick

    only = set(settings.symbols) if symbols else None
    done = merge(settings.data_dir, state_dir=settings.state_dir, symbols=only)
    if as_json:
        out.print_json(json.dumps(asdict(done)))
        return
    out.print(f"{done.slices} slices merged into {done.merged} hours", soft_wrap=True)
    if done.finished:
        out.print(f"{done.finished} hours finished that an earlier run had left half-way", soft_wrap=True)
    if done.mixed:
        out.print(f"{done.mixed} hours left alone: their slices have different parameters or versions", soft_wrap=True)
