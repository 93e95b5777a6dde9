"""`ofi analyze`: what the signals were worth."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Self

import typer

from ofi_cvd.cli import options
from ofi_cvd.common.files import usable_folder
from ofi_cvd.common.terminal import err, is_terminal, out, table
from ofi_cvd.common.times import parse_window
from ofi_cvd.errors import InputError, UsageError

if TYPE_CHECKING:
    from ofi_cvd.analysis.run import Result


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(analyze)


def analyze(
    horizons: Annotated[
        str, typer.Option("--horizons", metavar="S,S", help="label lengths in seconds")
    ] = "1,5,30,60,180,300,900",
    signals: Annotated[
        str, typer.Option("--signals", metavar="A,B", help="published signals")
    ] = "ofi_z,z_cvd,ofi_flow_z,cvd_flow_z,score,score_z",
    symbols: options.Symbols = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="first instant, UTC, e.g. 2025-01-01T08:00", show_default=False)
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="end, UTC, exclusive", show_default=False)] = None,
    price: Annotated[str, typer.Option(metavar="mid|trade", help="the price that is forecast")] = "mid",
    cost_bps: Annotated[
        float | None,
        typer.Option(
            metavar="BPS",
            help="cost of getting in and out; default by fee tier: TL 3.4, TM 8, TH 10",
            show_default=False,
        ),
    ] = None,
    impact: Annotated[bool, typer.Option("--impact", help="also regress price changes on order flow")] = False,
    folds: Annotated[int, typer.Option(help="stretches of the walk-forward split")] = 5,
    max_rows: Annotated[int, typer.Option(help="rows judged per symbol and signal; more are thinned evenly")] = 100_000,
    controls: Annotated[int, typer.Option(help="random times per event")] = 5,
    seed: Annotated[int, typer.Option(help="of random times and shuffles")] = 0,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="folder of the run; default from window and parameters", show_default=False),
    ] = None,
    stamp: Annotated[bool, typer.Option("--stamp", help="put the time of day in the folder's name instead")] = False,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="processes; default 2", show_default=False)] = None,
    data_dir: options.DataDir = None,
    artifacts_dir: options.ArtifactsDir = None,
    pairs: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Judge every signal against forward returns; writes tables and one HTML report.

    Example: ofi analyze --symbols BTCUSDT --horizons 1,10,60 --impact
    """
    settings = options.effective(pairs, data_dir=data_dir, artifacts_dir=artifacts_dir).settings
    try:
        from ofi_cvd.analysis.parameters import Parameters, parse_horizons  # noqa: PLC0415  # heavy
        from ofi_cvd.analysis.run import analyse  # noqa: PLC0415  # heavy
    except ModuleNotFoundError as error:
        raise UsageError(
            f"expected the extra `analyze` (pip install 'ofi-cvd[analyze]'), found no {error.name}"
        ) from None
    from ofi_cvd.quality.parameters import dataset_settings  # noqa: PLC0415  # heavy

    if price not in {"mid", "trade"}:
        raise InputError(f"--price: expected mid or trade, found {price!r}")
    start_ms, end_ms = parse_window(start, end)
    usable_folder(settings.artifacts_dir)
    parameters = Parameters(
        symbols=_names(symbols),
        start_ms=start_ms,
        end_ms=end_ms,
        signals=_names(signals),
        horizons_s=parse_horizons(horizons),
        price="mid" if price == "mid" else "trade",
        cost_bps=cost_bps,
        folds=folds,
        max_rows=max_rows,
        seed=seed,
        controls=controls,
        impact=impact,
        win_secs=dataset_settings(settings).win_secs,
    )
    if name is not None and not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"--name: expected letters, digits, dots and dashes, found {name!r}")
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}" if stamp else name
    folder = settings.artifacts_dir / "analysis"
    with _Bar() as bar:
        result = analyse(settings.data_dir, parameters, folder, name=run, workers=workers, progress=bar.advance)
    _show(result, as_json=as_json)


class _Bar:
    """A progress bar over the signals of every symbol; nothing where nobody looks."""

    def __enter__(self) -> Self:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=err, transient=True, disable=not is_terminal())
        self._task = self._progress.add_task("reading", total=None)
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, total: int, step: str) -> None:
        """Note a step that is over."""
        self._progress.update(self._task, total=total, advance=1, description=step)


def _show(result: Result, *, as_json: bool) -> None:
    if as_json:
        out.print_json(
            json.dumps({"folder": str(result.folder), "rows": result.facts["rows"], "tests": result.facts["tests"]})
        )
        return
    listing = table(
        "Strongest information coefficients", "symbol", "signal", ">horizon", ">n", ">ic", ">95 % interval", ">p adj"
    )
    for row in result.strongest():
        listing.add_row(*row)
    out.print(listing)
    out.print(f"report {result.folder / 'report.html'}", soft_wrap=True)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))
