"""The live act: exchange and recorder on loopback, a kill in the middle, and the proof that no trade id is missing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ofi_cvd.demo.folder import Act
from ofi_cvd.demo.proof import Held, held
from ofi_cvd.errors import RunError
from ofi_cvd.exchange.server import Exchange
from ofi_cvd.exchange.source import MarketSource
from ofi_cvd.settings import Settings
from ofi_cvd.simulator import Market

DOWN_S: Final = 3.0
_PATIENCE_S: Final = 30.0
_RUN_HOURS: Final = 0.1  # the recorder ends by itself should nobody be left to end it
_BLOCK_MS: Final = 500


@dataclass(frozen=True)
class LiveFacts:
    """What the act saw.

    Attributes:
        before: ids held by symbol when the recorder had been killed.
        after: ids held at the end.
        emitted: the exchange's latest id by symbol, asked for before the recorder was stopped.
    """

    before: Mapping[str, Held]
    after: Mapping[str, Held]
    emitted: Mapping[str, int | None]

    @property
    def missing(self) -> int:
        """Ids that the exchange emitted since the first one held and that the spool does not have."""
        return sum(one.missing(self.emitted[symbol]) for symbol, one in self.after.items())

    @property
    def duplicates(self) -> int:
        """Trades stored more than once."""
        return sum(one.duplicates for one in self.after.values())


async def record_through_a_kill(
    act: Act, *, seconds: float, rate: float, seed: int, say: Callable[[str], None]
) -> LiveFacts:
    """Serve a simulated market, record it for about `seconds`, kill the recorder in the middle, start it again.

    Raises:
        RunError: a recorder ended by itself, or did not catch up.
    """
    settings = act.settings
    source = MarketSource(settings.symbols, lambda name, at: Market(name, seed, at, rate, block_ms=_BLOCK_MS))
    async with Exchange(source, seed=seed) as exchange:
        say(f"exchange ready at {exchange.url}; recording into {settings.spool_dir}")
        async with _recorder(act, exchange.url) as first:
            await _until(lambda: all(one.ids for one in _all_held(settings).values()), first, act)
            await _watch(first, act, max(1.0, (seconds - DOWN_S) / 2))
            first.kill()  # SIGKILL; on Windows TerminateProcess
            await first.wait()
        before = await asyncio.to_thread(_all_held, settings)
        say(f"killed the recorder (exit {first.returncode}); the market goes on for {DOWN_S:g} s without it")
        await asyncio.sleep(DOWN_S)
        say("started it again: it reads where it stopped and fetches what it missed")
        async with _recorder(act, exchange.url) as second:
            await _watch(second, act, max(1.0, (seconds - DOWN_S) / 2))
            emitted = {symbol: history.last for symbol, history in exchange.emitted.items()}
            await _until(lambda: _caught_up(settings, emitted), second, act)
            await _stop(second)
        after = await asyncio.to_thread(_all_held, settings)
    return LiveFacts(before, after, emitted)


def _all_held(settings: Settings) -> dict[str, Held]:
    return {symbol: held(settings.spool_dir, symbol, settings.trade_stream) for symbol in settings.symbols}


def _caught_up(settings: Settings, emitted: Mapping[str, int | None]) -> bool:
    return all(not one.missing(emitted[symbol]) for symbol, one in _all_held(settings).items())


@asynccontextmanager
async def _recorder(act: Act, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `ofi collect` as a process of its own, in the act's folder so that no settings file of the user is read."""
    settings = act.settings
    arguments = [
        "collect", "--endpoint", url, "--symbols", ",".join(settings.symbols), "--run-hours", str(_RUN_HOURS),
        "--spool-dir", str(settings.spool_dir.absolute()),
    ]  # fmt: skip
    flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # Windows: Ctrl-Break reaches it alone
    with log_path(act).open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ofi_cvd", *arguments,
            cwd=act.folder, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, creationflags=flags,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def log_path(act: Act) -> Path:
    """Return the file that takes what the recorders say."""
    return act.folder / "recorder.log"


def _environment() -> dict[str, str]:
    """Return the environment without settings, and with this very package on the path."""
    ours = set(Settings.model_fields)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("OFI_") and name.lower() not in ours
    }
    package = str(Path(__file__).resolve().parents[2])
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))}


async def _watch(process: asyncio.subprocess.Process, act: Act, seconds: float) -> None:
    """Let the recorder run for some seconds; complain if it does not."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(process.wait()), seconds)
        raise _ended(process, act)


async def _until(happened: Callable[[], bool], process: asyncio.subprocess.Process, act: Act) -> None:
    """Wait until the spool shows what was waited for."""
    deadline = time.monotonic() + _PATIENCE_S
    while not await asyncio.to_thread(happened):
        if process.returncode is not None:
            raise _ended(process, act)
        if time.monotonic() > deadline:
            raise RunError(f"expected the recorder to catch up within {_PATIENCE_S:g} s, see {log_path(act)}")
        await asyncio.sleep(0.25)


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Ask the recorder to end, as Ctrl-C would, and wait for it."""
    if sys.platform == "win32":
        process.send_signal(signal.CTRL_BREAK_EVENT)
    else:
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), 10)


def _ended(process: asyncio.subprocess.Process, act: Act) -> RunError:
    return RunError(f"expected the recorder to run on, found it ended with {process.returncode}: see {log_path(act)}")
