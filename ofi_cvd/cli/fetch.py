"""`ofi fetch`: days of the venue's public archive into the spool."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ofi_cvd.cli import options
from ofi_cvd.cli.import_show import next_command
from ofi_cvd.common.terminal import err, is_terminal, out, table
from ofi_cvd.errors import ExchangeError, UsageError

if TYPE_CHECKING:
    from ofi_cvd.history.fetch import Fetched
    from ofi_cvd.settings import Settings

_WORDS = {
    "imported": "imported", "there": "there already", "not_yet": "not yet published", "missing": "missing",
    "failed": "failed",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(fetch)


def fetch(
    venue: Annotated[str, typer.Argument(metavar="VENUE", help="binance")] = "binance",
    symbols: options.Symbols = None,
    start: Annotated[str, typer.Option("--start", metavar="DATE", help="the first UTC day")] = "",
    end: Annotated[str, typer.Option("--end", metavar="DATE", help="the UTC day after the last")] = "",
    data: Annotated[
        str, typer.Option("--data", metavar="A,B", help="aggTrades, trades, bookTicker; default: aggTrades")
    ] = "aggTrades",
    daily: Annotated[bool, typer.Option("--daily", help="daily files also for whole months")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="keep the zips after the import")] = False,
    folder: Annotated[
        str | None, typer.Option("--folder", metavar="DIR", help="where zips lie; default: archive beside the spool")
    ] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", metavar="URL", help="another archive")] = None,
    spool_dir: options.SpoolDir = None,
    pairs: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Fetch days of the venue's public archive, check them and import them.

    Whole past months come as one file. Repeating it fetches only what is not there yet or was revised. Exit 1 if a file is
    missing or fails; a file younger than three days may not be published yet.

    Example: ofi fetch binance --symbols BTCUSDT --start 2024-01-05 --end 2024-01-08
    """
    from ofi_cvd.binance.archive import BASE_URL  # noqa: PLC0415  # `ofi --help` stays quick
    from ofi_cvd.history.fetch import Fetch, is_complete  # noqa: PLC0415
    from ofi_cvd.history.fetch_plan import plan_files  # noqa: PLC0415

    if venue != "binance":
        raise UsageError(f"expected binance, found {venue!r}")
    settings = options.effective(pairs, spool_dir=spool_dir, symbols=symbols).settings
    today = datetime.now(UTC).date()
    names = plan_files(
        settings.symbols, [one.strip() for one in data.split(",")], _date("--start", start), _date("--end", end),
        market=settings.market, today=today, daily=daily,
    )  # fmt: skip
    place = Path(folder) if folder else settings.spool_dir.parent / "archive"
    with _progress() as on_step:
        run = Fetch(settings.spool_dir, place, settings.market, today, base_url or BASE_URL, keep, on_step)
        done = run.run(names)
    if as_json:
        out.print_json(json.dumps([_facts(one) for one in done]))
    else:
        _show(done, settings)
    if not is_complete(done):
        bad = [one for one in done if one.outcome in {"missing", "failed"}]
        reasons = "; ".join(f"{one.name.stem}: {one.reason or 'missing'}" for one in bad[:5])
        raise ExchangeError(f"expected {len(done)} files, found {len(bad)} missing or failed ({reasons})")


def _date(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}: expected a UTC date such as 2024-01-05, found {text!r}") from None


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int], None] | None]:
    """Show the bytes that came where a person looks on."""
    if not is_terminal():
        yield None
        return
    from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("fetching", total=None)
        yield lambda name, count: bar.update(task, advance=count, description=name)


def _show(done: list[Fetched], settings: Settings) -> None:
    from ofi_cvd.history.run import History  # noqa: PLC0415

    listing = table(f"Fetched into {settings.spool_dir}", "file", "", ">rows", ">ids missing", ">refused")
    for one in done:
        report = one.report
        cells = (f"{report.rows:,}", f"{report.missing:,}", f"{report.refused.total():,}") if report else ("", "", "")
        listing.add_row(one.name.stem, _WORDS[one.outcome], *cells)
    out.print(listing)
    reports = [one.report for one in done if one.report is not None]
    if command := next_command(History(inputs=reports), settings):
        out.print(f"Next: {command}", soft_wrap=True, markup=False)


def _facts(one: Fetched) -> dict[str, object]:
    rows = one.report.rows if one.report else None
    return {"file": one.name.stem, "outcome": one.outcome, "reason": one.reason or None, "rows": rows}
