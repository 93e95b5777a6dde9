"""`ofi simulate`: a simulated market straight into a spool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ofi_cvd.cli import options
from ofi_cvd.common.terminal import err, is_terminal, out


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(simulate)


def simulate(
    hours: Annotated[float, typer.Option("--hours", help="length of the recording")] = 1.0,
    symbols: options.Symbols = None,
    seed: Annotated[int, typer.Option("--seed", help="the same seed gives the same files")] = 0,
    to: Annotated[str | None, typer.Option("--out", metavar="DIR", help="the spool (SPOOL_DIR)")] = None,
    streams: Annotated[str, typer.Option("--streams", metavar="A,B", help="streams to write")] = (
        "aggTrade,depth10@100ms"
    ),
    workers: Annotated[int | None, typer.Option("--workers", help="processes; by default one per core")] = None,
    as_json: options.Json = False,
) -> None:
    """Write a seeded simulated market into a spool, as if it had been recorded.

    Example: ofi simulate --hours 2 --symbols BTCUSDT,ETHUSDT --seed 7 --out data/spool
    """
    from rich.progress import Progress  # noqa: PLC0415  # keeps `ofi --help` quick

    from ofi_cvd.errors import InputError  # noqa: PLC0415
    from ofi_cvd.simulator import simulate_spool  # noqa: PLC0415

    if not 0 < hours < float("inf"):
        raise InputError(f"--hours: expected a number above 0, found {hours}")
    if workers is not None and workers < 1:
        raise InputError(f"--workers: expected 1 or more, found {workers}")
    settings = options.effective(symbols=symbols, spool_dir=to).settings
    with Progress(console=err, disable=as_json or not is_terminal(), transient=True) as progress:
        task = progress.add_task("simulating", total=len(settings.symbols) * max(1.0, hours))
        report = simulate_spool(
            Path(settings.spool_dir),
            hours=hours,
            symbols=settings.symbols,
            seed=seed,
            streams=tuple(name.strip() for name in streams.split(",") if name.strip()),
            workers=workers,
            on_hour=lambda _symbol, _hour_ms: progress.advance(task),
        )
    facts = {
        "spool": str(settings.spool_dir),
        "hours": hours,
        "symbols": list(settings.symbols),
        "seed": seed,
        "frames": report.frames,
        "bytes": report.bytes,
        "seconds": round(report.seconds, 3),
    }
    if as_json:
        out.print_json(json.dumps(facts))
        return
    total = sum(report.frames.values())
    out.print(
        f"wrote {total:,} frames of {len(settings.symbols)} symbols, {hours:g} h, {report.bytes / 1e6:,.1f} MB "
        f"to {settings.spool_dir} in {report.seconds:.1f} s",
        soft_wrap=True,
    )
