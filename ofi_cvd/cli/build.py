"""`ofi build`: the spool into five published tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Self

import typer

from ofi_cvd.cli import options
from ofi_cvd.common.terminal import err, is_terminal, out, table
from ofi_cvd.common.times import HOUR_MS, parse_span, parse_window, show_time

if TYPE_CHECKING:
    from ofi_cvd.publish.run import BuildReport, Progress
    from ofi_cvd.settings import Settings

Start = Annotated[str | None, typer.Option(metavar="TIME", help="publish from this UTC time on", show_default=False)]
End = Annotated[str | None, typer.Option(metavar="TIME", help="publish up to this UTC time", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(build)


def build(
    start: Start = None,
    end: End = None,
    symbols: options.Symbols = None,
    slice_: Annotated[
        str | None,
        typer.Option(
            "--slice",
            metavar="SPAN",
            help="length of a slice, 60s .. 1h; default 1h, following PARQUET_ROTATE_SEC",
            show_default=False,
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="go on as the spool grows, until interrupted")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="compute and publish again what is published")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes; default: the cores", show_default=False)
    ] = None,
    spool_dir: options.SpoolDir = None,
    data_dir: options.DataDir = None,
    state_dir: options.StateDir = None,
    pairs: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Turn the spool into five published tables, everything that is not published yet.

    Safe to repeat, to interrupt and to resume.

    Example: ofi build --symbols BTCUSDT,ETHUSDT --start 2026-01-05
    """
    from ofi_cvd.publish.run import build as run  # noqa: PLC0415  # keeps `ofi --help` quick
    from ofi_cvd.publish.slices import Window  # noqa: PLC0415
    from ofi_cvd.settings.remarks import remarks  # noqa: PLC0415

    settings = options.effective(
        pairs, symbols=symbols, spool_dir=spool_dir, data_dir=data_dir, state_dir=state_dir
    ).settings
    for remark in remarks(settings):
        err.print(f"note: {remark}", soft_wrap=True)
    window = Window(*parse_window(start, end))
    whole = settings.parquet_rotate_sec if follow else HOUR_MS // 1000
    slice_secs = whole if slice_ is None else parse_span("--slice", slice_)
    if follow:
        from ofi_cvd.publish.follow import follow as go_on  # noqa: PLC0415

        go_on(settings, slice_secs=slice_secs, window=window, say=lambda text: err.print(text, markup=False))
        return
    with _Bar(settings) as bar:
        report = run(
            settings, slice_secs=slice_secs, window=window, rebuild=rebuild, workers=workers, progress=bar.advance
        )
    _show(report, settings, as_json=as_json)


class _Bar:
    """A progress bar over the hours that have files; nothing where nobody looks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._step: Progress | None = None

    def __enter__(self) -> Self:
        if is_terminal():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

            from ofi_cvd.spool.layout import list_files  # noqa: PLC0415

            files = list_files(
                self._settings.spool_dir, symbols=set(self._settings.symbols), streams={self._settings.trade_stream}
            )
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._progress = Progress(*columns, console=err, transient=True)
            task = self._progress.add_task("hours", total=len({(file.symbol, file.hour_ms) for file in files}))
            self._progress.start()

            def step(symbol: str, hour_ms: int, _hour: object) -> None:
                self._progress.update(task, advance=1, description=f"{symbol} {show_time(hour_ms)[:13]}h")

            self._step = step
        return self

    def __exit__(self, *_: object) -> None:
        if self._step is not None:
            self._progress.stop()

    def advance(self, symbol: str, hour_ms: int, hour: object) -> None:
        """Note an hour."""
        if self._step is not None:
            self._step(symbol, hour_ms, hour)  # type: ignore[arg-type]  # the bar needs only the names


def _show(report: BuildReport, settings: Settings, *, as_json: bool) -> None:
    if as_json:
        out.print_json(json.dumps({"hours": report.hours, "rows": report.rows, "data_dir": str(settings.data_dir)}))
        return
    if not report.hours:
        out.print("Everything in the spool is published; nothing to do.")
        return
    from ofi_cvd.schemas import KINDS  # noqa: PLC0415

    listing = table(f"Published to {settings.data_dir}", "symbol", ">hours", *(f">{kind}" for kind in KINDS))
    for symbol in settings.symbols:
        if symbol in report.hours:
            rows = report.rows.get(symbol, {})
            listing.add_row(symbol, str(report.hours[symbol]), *(f"{rows.get(kind, 0):,}" for kind in KINDS))
    out.print(listing)
