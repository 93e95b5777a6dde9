"""The recorder as a process of its own: signals, log lines, the panel."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time

from rich.console import Group
from rich.live import Live

from ofi_cvd.collect.panel import REFRESH_S, Disk, panel, wants_panel
from ofi_cvd.collect.recorder import record
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.common.logs import log_to
from ofi_cvd.common.signals import stop_signals
from ofi_cvd.common.terminal import err
from ofi_cvd.settings import Settings

DISK_S = 10.0


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
        drawn = _Drawn(settings, stats)
        with Live(drawn.now(), console=err, auto_refresh=False, redirect_stdout=False) as live:
            log_to(logging.StreamHandler(live.console.file), logging.ERROR)
            jobs = [asyncio.create_task(drawn.draw(live)), asyncio.create_task(drawn.measure())]
            try:
                await record(settings, stop=stop, stats=stats)
            finally:
                for job in jobs:
                    job.cancel()
                live.update(drawn.now(), refresh=True)


class _Drawn:
    """What the panel shows: the counters, and the time and the disk left."""

    def __init__(self, settings: Settings, stats: RecorderStats) -> None:
        self._settings, self._stats = settings, stats
        self._ends_s = time.monotonic() + settings.run_hours * 3600
        self._disk: Disk | None = None

    def now(self) -> Group:
        """Return the panel."""
        return panel(self._stats, err, left_s=self._ends_s - time.monotonic(), disk=self._disk)

    async def draw(self, live: Live) -> None:
        """Redraw for ever."""
        while True:
            await asyncio.sleep(REFRESH_S)
            live.update(self.now(), refresh=True)

    async def measure(self) -> None:
        """Measure the disk for ever, in a thread: a spool may have thousands of files."""
        while True:
            with contextlib.suppress(OSError):  # the recorder says it when the folder cannot be
                self._disk = await asyncio.to_thread(Disk.of, self._settings.spool_dir)
            await asyncio.sleep(DISK_S)
