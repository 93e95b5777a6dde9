"""`ofi import`: foreign recordings into the spool."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ofi_cvd.cli import options
from ofi_cvd.common.terminal import err, is_terminal, out, table
from ofi_cvd.common.times import show_time
from ofi_cvd.errors import InputError

if TYPE_CHECKING:
    from ofi_cvd.history.capture import CaptureLines
    from ofi_cvd.history.hftbacktest import ImportReport

Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="captures, plain or gzip", show_default=False)]
Streams = Annotated[
    str | None,
    typer.Option(
        "--streams",
        metavar="A,B",
        help="streams to take; default: trades, bookTicker, depth5/10/20",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    group = typer.Typer(no_args_is_help=True, help="Bring foreign recordings into the spool.", rich_markup_mode=None)
    group.command()(hftbacktest)
    app.add_typer(group, name="import")


def hftbacktest(
    files: Files,
    spool_dir: options.SpoolDir = None,
    symbols: options.Symbols = None,
    streams: Streams = None,
    pairs: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Import lines `<local ns or us> <json>`, as hftbacktest records them; repeating it adds nothing.

    Example: ofi import hftbacktest btcusdt_20240718.gz btcusdt_20240719.gz
    """
    from ofi_cvd.history.hftbacktest import import_hftbacktest  # noqa: PLC0415  # `ofi --help` stays quick

    settings = options.effective(pairs, spool_dir=spool_dir, symbols=symbols).settings
    with _progress(files) as advance:
        report = import_hftbacktest(
            files,
            settings.spool_dir,
            streams=streams.split(",") if streams else None,
            symbols=settings.symbols if symbols else None,
            progress=advance,
        )
    if as_json:
        out.print_json(json.dumps(_facts(report)))
    else:
        _show(report, settings.spool_dir)
    if report.faults:
        raise InputError("; ".join(report.faults))


@contextlib.contextmanager
def _progress(files: list[Path]) -> Iterator[Callable[[CaptureLines], None] | None]:
    """Show how far the reading is where a person looks on."""
    if not is_terminal():
        yield None
        return
    from rich.progress import Progress  # noqa: PLC0415

    total = sum(path.stat().st_size for path in files if path.is_file())
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("importing", total=total)
        sizes: dict[int, int] = {}

        def advance(capture: CaptureLines) -> None:
            sizes[id(capture)] = capture.position
            bar.update(task, completed=sum(sizes.values()))

        yield advance


def _show(report: ImportReport, spool_dir: Path) -> None:
    listing = table(f"Imported into {spool_dir}", "symbol", "stream", ">added", ">already there", ">left out")
    # Names come from the file: they are shown as they are, never read as markup.
    for key in sorted(report.added.keys() | report.present.keys()):
        listing.add_row(*key, f"{report.added[key]:,}", f"{report.present[key]:,}", "")
    for name, count in sorted(report.skipped.items()):
        listing.add_row("", escape(f"{name} (not asked for)"), "", "", f"{count:,}")
    for reason, count in sorted(report.rejected.items()):
        listing.add_row("", f"{reason} (rejected)", "", "", f"{count:,}")
    out.print(listing)
    added, present = report.added.total(), report.present.total()
    verdict = (
        f"{added:,} of {report.lines:,} lines added" if added or not present else "nothing added: all there already"
    )
    span = _span(report)
    out.print(f"{verdict}{f', received {span}' if span else ''}", soft_wrap=True, markup=False)


def _span(report: ImportReport) -> str:
    if report.first_ns is None or report.last_ns is None:
        return ""
    first, last = (show_time(ns // 10**6) for ns in (report.first_ns, report.last_ns))
    return f"{first} to {last} UTC"


def _facts(report: ImportReport) -> dict[str, object]:
    keys = sorted(report.added.keys() | report.present.keys())
    return {
        "lines": report.lines,
        "targets": [
            {"symbol": key[0], "stream": key[1], "added": report.added[key], "present": report.present[key]}
            for key in keys
        ],
        "skipped": report.skipped,
        "rejected": report.rejected,
        "first_ns": report.first_ns,
        "last_ns": report.last_ns,
        "faults": report.faults,
    }
