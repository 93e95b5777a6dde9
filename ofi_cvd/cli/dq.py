"""`ofi dq`: the gates, as JSON, table and page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ofi_cvd.cli import options
from ofi_cvd.common.files import usable_folder
from ofi_cvd.common.terminal import err, out
from ofi_cvd.common.times import parse_window
from ofi_cvd.errors import RunError, UsageError

if TYPE_CHECKING:
    from ofi_cvd.quality.window import Window
    from ofi_cvd.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(dq)


def dq(
    start: Annotated[str | None, typer.Option(metavar="TIME", help="start of the run, UTC")] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="end of the run, exclusive")] = None,
    symbols: options.Symbols = None,
    *,
    received: Annotated[
        bool | None,
        typer.Option("--received/--no-received", help="count received duplicates; reads the raw trades of the run"),
    ] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="also write the HTML page")] = True,
    total: Annotated[bool, typer.Option("--total", help="name the reports as those of a whole run")] = False,
    data_dir: options.DataDir = None,
    spool_dir: options.SpoolDir = None,
    state_dir: options.StateDir = None,
    artifacts_dir: options.ArtifactsDir = None,
    pairs: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Judge a run by the quality gates; exit 0 none failed, 1 a gate failed, 2 could not run.

    Example: ofi dq --start 2025-10-16T00:00 --end 2025-10-19T00:00
    """
    effective = options.effective(
        pairs,
        symbols=symbols,
        data_dir=data_dir,
        spool_dir=spool_dir,
        state_dir=state_dir,
        artifacts_dir=artifacts_dir,
    )
    settings = effective.settings
    from ofi_cvd.quality.report import encode, judge_window, write_documents  # noqa: PLC0415
    from ofi_cvd.quality.terminal import show  # noqa: PLC0415

    asked = None if effective.origins["symbols"] == "default" else settings.symbols
    window = _window(settings, asked, *parse_window(start, end))
    usable_folder(settings.artifacts_dir)
    try:
        report = judge_window(window, settings, charts=page, received=received)
    except RunError as error:  # 1 would say that a gate failed
        err.print(f"ofi: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    paths = write_documents(report, settings.artifacts_dir, total=total)
    if page:
        from ofi_cvd.quality.page import write_page  # noqa: PLC0415

        paths.append(write_page(report, settings.artifacts_dir, total=total))
    if as_json:
        out.print(encode(report.document()), markup=False, end="", soft_wrap=True)
    else:
        show(report, out)
    for path in paths:
        err.print(f"wrote {path}", markup=False, soft_wrap=True)
    raise typer.Exit(0 if report.passed else 1)


def _window(settings: Settings, symbols: tuple[str, ...] | None, start_ms: int | None, end_ms: int | None) -> Window:
    """Return the run that was asked for; what is not said is the recorded span, and the symbols that are there."""
    from ofi_cvd.dataset.reader import open_dataset  # noqa: PLC0415
    from ofi_cvd.quality.span import stored_symbols, stored_window  # noqa: PLC0415
    from ofi_cvd.quality.window import Window  # noqa: PLC0415

    with open_dataset(settings.data_dir, missing_ok=True, spool=settings.spool_dir) as dataset:
        if start_ms is not None and end_ms is not None:
            return Window(start_ms, end_ms, symbols or stored_symbols(dataset, settings))
        stored = stored_window(dataset, settings, symbols)
    if stored is None:
        raise UsageError(
            f"{settings.data_dir}: expected a dataset, or --start and --end of the run to judge, found no file"
        )
    start_ms = stored.start_ms if start_ms is None else start_ms
    return Window(start_ms, stored.end_ms if end_ms is None else end_ms, stored.symbols)
