"""`ofi exchange`: the built-in exchange in the foreground."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ofi_cvd.cli import options
from ofi_cvd.common.addresses import is_loopback
from ofi_cvd.common.terminal import err, out

if TYPE_CHECKING:
    from ofi_cvd.exchange.routes import Venue
    from ofi_cvd.exchange.server import Exchange
    from ofi_cvd.exchange.source import Source
    from ofi_cvd.exchange.venue_limits import VenueLimits

_BLOCK_MS = 500  # short blocks: the worker thread holds the interpreter while it renders one


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(exchange)


def exchange(
    *,
    simulate: Annotated[bool, typer.Option("--simulate", help="a simulated market in real time (the default)")] = False,
    replay: Annotated[str | None, typer.Option("--replay", metavar="SPOOL", help="play a spool back")] = None,
    flood: Annotated[
        str | None, typer.Option("--flood", metavar="RATE", help="rendered frames a second, or max: for benchmarks")
    ] = None,
    symbols: options.Symbols = None,
    seed: Annotated[int, typer.Option("--seed", help="seed of the market and of the faults")] = 0,
    rate: Annotated[float, typer.Option("--rate", help="market activity times X")] = 1.0,
    speed: Annotated[float, typer.Option("--speed", help="replay: seconds of recording per second")] = 1.0,
    shift_to_now: Annotated[
        bool, typer.Option("--shift-to-now/--keep-times", help="replay: move times in the payloads to the present")
    ] = True,
    market: Annotated[str | None, typer.Option("--market", metavar="usdm|spot", help="whose protocol")] = None,
    host: Annotated[str, typer.Option("--host", help="address to bind")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="port to bind; 0 takes a free one", min=0, max=65535)] = 9443,
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", metavar="NAME[=VALUE][:every=S|at=S|p=P][:n=N]", help="may be repeated"),
    ] = None,
    archive: Annotated[
        str | None, typer.Option("--archive", metavar="DIR", help="serve archive files of this folder below /data/")
    ] = None,
    life: Annotated[float | None, typer.Option("--life", help="seconds a connection may live (24 h)")] = None,
    ping_every: Annotated[float | None, typer.Option("--ping-every", help="seconds between the server's pings")] = None,
    pong_within: Annotated[float | None, typer.Option("--pong-within", help="seconds to answer a ping in")] = None,
    as_json: options.Json = False,
) -> None:
    """Serve a simulated or recorded market over the exchange's real wire protocol, on this machine.

    Example: ofi exchange --simulate --seed 7 --rate 5 --fault reset:every=30 --fault gap:p=0.001
    """
    import asyncio  # noqa: PLC0415  # keeps `ofi --help` quick

    from ofi_cvd.errors import InputError  # noqa: PLC0415
    from ofi_cvd.exchange.faults import parse_fault  # noqa: PLC0415
    from ofi_cvd.exchange.process_main import serve  # noqa: PLC0415
    from ofi_cvd.exchange.server import Exchange  # noqa: PLC0415

    if sum((simulate, replay is not None, flood is not None)) > 1:
        raise InputError("expected one of --simulate, --replay and --flood, found several")
    settings = options.effective(symbols=symbols, market=market).settings
    faults = [parse_fault(text) for text in fault or []]
    if flood is not None and any(one.kind.family in {"frame", "clock"} for one in faults):
        raise InputError("--flood: expected faults of connections or REST, found one that changes frames")
    if flood is not None and settings.market == "spot":
        raise InputError("--flood: expected --market usdm, found spot")
    limits = _limits(settings.market, life=life, ping_every=ping_every, pong_within=pong_within)
    if replay is not None:
        source = _replayed(Path(replay), speed, shift_to_now=shift_to_now)
    elif flood is not None:
        source = _flooded(settings.symbols, flood)
    else:
        source = _simulated(settings.symbols, seed, rate)
    if not is_loopback(host):
        err.print(f"ofi: warning: {host} can be reached from other machines; the exchange has no access control")
    folder = Path(archive) if archive else None
    server = Exchange(source, faults=faults, seed=seed, limits=limits, host=host, port=port, archive=folder)
    asyncio.run(serve(server, say=lambda event, line: _say(server, event, line, as_json=as_json)))


def _say(server: Exchange, event: str, line: str, *, as_json: bool) -> None:
    if as_json:
        facts = {
            "event": event,
            "url": server.url,
            "venue": server.limits.venue,
            "symbols": list(server.source.symbols),
        }
        out.print(json.dumps(facts), soft_wrap=True, markup=False)
    else:
        out.print(line, soft_wrap=True, markup=False)


def _limits(venue: Venue, *, life: float | None, ping_every: float | None, pong_within: float | None) -> VenueLimits:
    from dataclasses import replace  # noqa: PLC0415

    from ofi_cvd.errors import InputError  # noqa: PLC0415
    from ofi_cvd.exchange.venue_limits import limits_of  # noqa: PLC0415

    for name, value in (("--life", life), ("--ping-every", ping_every), ("--pong-within", pong_within)):
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{name}: expected a number of seconds above 0, found {value}")
    real = limits_of(venue)
    return replace(
        real,
        life_s=life or real.life_s,
        ping_every_s=ping_every or real.ping_every_s,
        pong_within_s=pong_within or real.pong_within_s,
    )


def _simulated(symbols: tuple[str, ...], seed: int, rate: float) -> Source:
    from ofi_cvd.exchange.source import MarketSource  # noqa: PLC0415
    from ofi_cvd.simulator import Market  # noqa: PLC0415

    Market(symbols[0], seed, 0, rate)  # refuses a bad rate before anything is served
    return MarketSource(symbols, lambda symbol, start_ms: Market(symbol, seed, start_ms, rate, block_ms=_BLOCK_MS))


def _replayed(spool: Path, speed: float, *, shift_to_now: bool) -> Source:
    from ofi_cvd.exchange.replay import ReplaySource  # noqa: PLC0415

    return ReplaySource(spool, speed=speed, shift_to_now=shift_to_now)


def _flooded(symbols: tuple[str, ...], text: str) -> Source:
    from ofi_cvd.errors import InputError  # noqa: PLC0415
    from ofi_cvd.exchange.flood import FloodSource  # noqa: PLC0415

    if text == "max":
        return FloodSource(symbols, None)
    try:
        return FloodSource(symbols, float(text))
    except ValueError:
        raise InputError(f"--flood: expected frames a second or max, found {text!r}") from None
