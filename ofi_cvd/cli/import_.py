"""`ofi import`: history of others into the spool."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ofi_cvd.cli import options
from ofi_cvd.cli.import_show import facts, show
from ofi_cvd.common.terminal import err, is_terminal, out
from ofi_cvd.errors import InputError, UsageError

if TYPE_CHECKING:
    from ofi_cvd.history.detect import Format

Files = Annotated[
    list[str],
    typer.Argument(
        metavar="[FORMAT] FILE...",
        help="files, folders or patterns; before them, if wanted, binance-archive, tardis or hftbacktest",
        show_default=False,
    ),
]
Streams = Annotated[
    str | None,
    typer.Option(
        "--streams",
        metavar="A,B",
        help="of captures: streams to take; default: trades, bookTicker, depth5/10/20",
        show_default=False,
    ),
]
Symbol = Annotated[
    str | None,
    typer.Option("--symbol", metavar="S", help="the symbol, where a file's name does not say it", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(name="import")(import_)


def import_(
    files: Files,
    spool_dir: options.SpoolDir = None,
    symbols: options.Symbols = None,
    symbol: Symbol = None,
    streams: Streams = None,
    pairs: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Bring history of others into the spool: files of the venue's archive, of Tardis, or captures.

    The format is found by looking at each file. Repeating an import adds nothing; a revised file replaces the old one.

    Example: ofi import BTCUSDT-aggTrades-2024-01-05.zip
    """
    from ofi_cvd.history.detect import FORMATS, expand  # noqa: PLC0415  # `ofi --help` stays quick
    from ofi_cvd.history.run import import_files  # noqa: PLC0415

    settings = options.effective(pairs, spool_dir=spool_dir, symbols=symbols).settings
    has_format = files[0] in FORMATS
    wanted = cast("Format", files[0]) if has_format else None
    names = [Path(name) for name in files[has_format:]]
    if not names:
        raise UsageError(f"expected files to import after {files[0]}, found none")
    paths = expand(names)
    with _progress(paths) as advance:
        history = import_files(
            paths,
            settings.spool_dir,
            wanted=wanted,
            symbol=symbol,
            symbols=settings.symbols if symbols else None,
            streams=streams.split(",") if streams else None,
            progress=advance,
        )
    if as_json:
        out.print_json(json.dumps(facts(history)))
    else:
        show(history, settings)
    if history.faults:
        raise InputError("; ".join(history.faults))


@contextlib.contextmanager
def _progress(files: list[Path]) -> Iterator[Callable[[Path, int], None] | None]:
    """Show how far the reading is where a person looks on."""
    if not is_terminal():
        yield None
        return
    from rich.progress import Progress  # noqa: PLC0415

    total = sum(path.stat().st_size for path in files if path.is_file())
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("importing", total=total)
        read: dict[Path, int] = {}

        def advance(path: Path, position: int) -> None:
            read[path] = position
            bar.update(task, completed=sum(read.values()), description=path.name)

        yield advance
