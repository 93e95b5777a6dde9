"""The recorder as a child of a run."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
from multiprocessing.connection import Connection
from typing import Final

from ofi_cvd.collect.recorder import record
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.harvest.child import Channel
from ofi_cvd.harvest.messages import Counted
from ofi_cvd.settings import Settings

TELL_S: Final = 1.0


def run_recorder(settings: Settings, connection: Connection) -> None:
    """Record until the parent says stop or is gone; its exit status is that of the error."""
    with Channel(connection) as channel:
        asyncio.run(_record(settings, channel))


async def _record(settings: Settings, channel: Channel) -> None:
    stop, stats, loop = asyncio.Event(), RecorderStats(), asyncio.get_running_loop()

    def ask() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended by itself
            loop.call_soon_threadsafe(stop.set)

    channel.on_stop(ask)
    telling = asyncio.create_task(_tell(channel, stats))
    try:
        await record(settings, stop=stop, stats=stats)
    finally:
        telling.cancel()
        _tell_once(channel, stats)


async def _tell(channel: Channel, stats: RecorderStats) -> None:
    while True:
        _tell_once(channel, stats)
        await asyncio.sleep(TELL_S)


def _tell_once(channel: Channel, stats: RecorderStats) -> None:
    # The writer's thread counts as well: if it adds a bin meanwhile, the next second's counters are as good.
    with contextlib.suppress(RuntimeError):
        channel.send(Counted(pickle.dumps(stats)))
