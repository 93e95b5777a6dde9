"""`ofi collect`: the recorder."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ofi_cvd.cli import options
from ofi_cvd.common.terminal import err, out
from ofi_cvd.errors import ExchangeError


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(collect)


def collect(
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="binance, or an exchange such as http://127.0.0.1:9443", show_default=False),
    ] = None,
    run_hours: Annotated[
        float | None, typer.Option(metavar="HOURS", help="stop by itself after so many hours", show_default=False)
    ] = None,
    symbols: options.Symbols = None,
    spool_dir: options.SpoolDir = None,
    pairs: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Record trades and books from the exchange into the spool, and repair what was missed.

    Example: ofi collect --endpoint http://127.0.0.1:9443 --symbols BTCUSDT,ETHUSDT
    """
    from ofi_cvd.collect.process import run_recorder  # noqa: PLC0415  # keeps `ofi --help` quick

    settings = options.effective(
        pairs, endpoint=endpoint, run_hours=run_hours, symbols=symbols, spool_dir=spool_dir
    ).settings
    stats = run_recorder(settings)
    facts = {name: stats.total(name) for name in ("received", "missing", "repaired", "dropped")}
    if as_json:
        out.print_json(json.dumps(facts | {"spool_dir": str(settings.spool_dir)}))
    else:
        err.print(
            f"recorded {facts['received']} frames: {facts['missing']} trade ids missed, "
            f"{facts['repaired']} repaired, {facts['dropped']} frames dropped",
            soft_wrap=True,
        )
    if not facts["received"]:
        raise ExchangeError(f"expected frames from {settings.endpoint}, found none: nothing was recorded")
