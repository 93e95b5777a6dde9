"""`ofi harvest`: the one-click run."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ofi_cvd.cli import options
from ofi_cvd.common.addresses import is_loopback
from ofi_cvd.common.files import usable_folder
from ofi_cvd.common.terminal import err, out
from ofi_cvd.errors import OfiCvdError


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(harvest)


def harvest(
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="binance, or an exchange such as http://127.0.0.1:9443", show_default=False),
    ] = None,
    run_hours: Annotated[
        float | None, typer.Option(metavar="HOURS", help="length of the run", show_default=False)
    ] = None,
    symbols: options.Symbols = None,
    *,
    new: Annotated[bool, typer.Option("--new", help="start another run, even if the last one is not over")] = False,
    spool_dir: options.SpoolDir = None,
    data_dir: options.DataDir = None,
    state_dir: options.StateDir = None,
    artifacts_dir: options.ArtifactsDir = None,
    pairs: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Record, build, check and report for RUN_HOURS; exit 0 if every gate passed, 1 if one failed.

    Started again before the run is over, it continues the same run.

    Example: ofi harvest --symbols BTCUSDT,ETHUSDT --run-hours 24
    """
    settings = options.effective(
        pairs,
        endpoint=endpoint,
        run_hours=run_hours,
        symbols=symbols,
        spool_dir=spool_dir,
        data_dir=data_dir,
        state_dir=state_dir,
        artifacts_dir=artifacts_dir,
    ).settings
    for folder in (settings.spool_dir, settings.data_dir, settings.state_dir, settings.artifacts_dir):
        usable_folder(folder)  # at once, instead of in a child that is started again and again
    host = settings.metrics_addr.rpartition(":")[0]
    if host and not is_loopback(host):
        err.print(
            f"ofi: warning: METRICS_ADDR {host} can be reached from other machines; metrics have no access control"
        )
    from ofi_cvd.harvest.command import run_harvest  # noqa: PLC0415  # keeps `ofi --help` quick
    from ofi_cvd.harvest.summary_view import show_summary  # noqa: PLC0415  # keeps `ofi --help` quick

    try:
        outcome = run_harvest(settings, new=new)
    except OfiCvdError:
        raise
    except Exception as error:  # a fault of ours, and the log has its trace; 1 would say that a gate failed
        raise typer.Exit(70) from error
    text = outcome.summary.read_text("utf-8")
    if as_json:
        out.print(text, markup=False, end="", soft_wrap=True)
    else:
        show_summary(json.loads(text), outcome.summary, out)
    raise typer.Exit(0 if outcome.passed else 1)
