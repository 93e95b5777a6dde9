"""The recorder as a process of its own: signals, log lines, the panel."""

from __future__ import annotations

import asyncio
import logging
import sys

from rich.live import Live

from ofi_cvd.collect.panel import REFRESH_S, panel, wants_panel
from ofi_cvd.collect.recorder import record
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.common.logs import log_to
from ofi_cvd.common.signals import stop_signals
from ofi_cvd.common.terminal import err
from ofi_cvd.settings import Settings


def run_recorder(settings: Settings) -> RecorderStats:
    """Record until SIGINT, SIGTERM (Windows: also Ctrl-SequenceBreak) or `RUN_HOURS`; return what was counted.

    Raises:
        OfiCvdError: as `record`.
    """
    stats = RecorderStats()
    asyncio.run(_main(settings, stats))
    return stats


async def _main(settings: Settings, stats: RecorderStats) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask() -> None:
        loop.call_soon_threadsafe(stop.set)

    with stop_signals(ask):
        if not wants_panel(err):
            log_to(logging.StreamHandler(sys.stderr))
            await record(settings, stop=stop, stats=stats)
            return
        with Live(panel(stats), console=err, auto_refresh=False, redirect_stdout=False) as live:
            log_to(logging.StreamHandler(live.console.file), logging.ERROR)
            drawing = asyncio.create_task(_draw(live, stats))
            try:
                await record(settings, stop=stop, stats=stats)
            finally:
                drawing.cancel()
                live.update(panel(stats), refresh=True)


async def _draw(live: Live, stats: RecorderStats) -> None:
    while True:
        await asyncio.sleep(REFRESH_S)
        live.update(panel(stats), refresh=True)
