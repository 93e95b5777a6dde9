"""`ofi seal`: compress the hours that are over."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ofi_cvd.cli import options
from ofi_cvd.common.terminal import err, is_terminal, out
from ofi_cvd.errors import InputError

if TYPE_CHECKING:
    from ofi_cvd.spool.seal import SealReport

Now = Annotated[bool, typer.Option("--now", help="do not wait ten minutes for repairs of the hour that just ended")]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(seal)


def seal(
    now: Now = False,
    spool_dir: options.SpoolDir = None,
    symbols: options.Symbols = None,
    pairs: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Compress the spool files of hours that are over, verify them, and delete the plain ones.

    Example: ofi seal --now
    """
    from ofi_cvd.spool.layout import list_hours, no_spool  # noqa: PLC0415
    from ofi_cvd.spool.seal import GRACE_MS, seal_closed_hours  # noqa: PLC0415  # `ofi --help` stays quick

    settings = options.effective(pairs, spool_dir=spool_dir, symbols=symbols).settings
    if not list_hours(settings.spool_dir):
        raise InputError(no_spool(settings.spool_dir))
    with _progress() as advance:
        reports = seal_closed_hours(
            settings.spool_dir,
            grace_ms=0 if now else GRACE_MS,
            symbols=settings.symbols if symbols else None,
            progress=advance,
        )
    outcomes = Counter(report.outcome for report in reports)
    plain = sum(report.plain_bytes for report in reports)
    packed = sum(report.sealed_bytes for report in reports)
    if as_json:
        out.print_json(json.dumps({"outcomes": outcomes, "plain_bytes": plain, "sealed_bytes": packed}))
        return
    if not outcomes["sealed"]:
        out.print(f"nothing to seal in {settings.spool_dir}", soft_wrap=True, markup=False)
        return
    ratio = f"{plain / packed:.1f} to 1"
    sentence = f"{outcomes['sealed']:,} files sealed, {plain / 1e6:,.1f} MB into {packed / 1e6:,.1f} MB ({ratio})"
    left = outcomes["grew"]
    out.print(sentence + (f"; {left} grew meanwhile and wait" if left else ""), soft_wrap=True, markup=False)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[SealReport, int, int], None] | None]:
    """Show how far the sealing is where a person looks on."""
    if not is_terminal():
        yield None
        return
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("sealing", total=None)

        def advance(report: SealReport, number: int, total: int) -> None:
            bar.update(task, description=f"sealing {report.file.name}", completed=number, total=total)

        yield advance
