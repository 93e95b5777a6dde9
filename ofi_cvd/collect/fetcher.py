"""Carries out the requests for missing trades and for books, a few at a time, each with a bound on its time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from ofi_cvd.binance.rest import RestClient, RestUnavailableError
from ofi_cvd.collect.repair import RepairScheduler
from ofi_cvd.collect.snapshots import SnapshotScheduler
from ofi_cvd.errors import ExchangeError

WORKERS = 4
SNAPSHOT_WORKERS = 2
IDLE_S = 0.1
REFUSED_S = 60.0

log = logging.getLogger(__name__)


@dataclass
class Fetcher:
    """Asks the exchange for what the scheduler names.

    Attributes:
        scheduler: which trades to ask for.
        snapshots: which books to ask for.
        rest: the exchange.
        room: how many lines may be stored now.
        perform: carries out the actions that the scheduler has left.
        clock: monotonic seconds.
        clock_ns: wall-clock time.
    """

    scheduler: RepairScheduler
    snapshots: SnapshotScheduler
    rest: RestClient
    room: Callable[[], int]
    perform: Callable[[], None]
    clock: Callable[[], float]
    clock_ns: Callable[[], int]

    async def run(self) -> None:
        """Ask for missing trades for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def run_snapshots(self) -> None:
        """Ask for books for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(SNAPSHOT_WORKERS):
                group.create_task(self._work_on_snapshots())

    async def drain(self) -> None:
        """Ask for what is due now, once each."""
        while await self.step():
            pass

    async def step(self) -> bool:
        """Carry out one request; False if none is due."""
        request = self.scheduler.next_request(self.clock())
        self.perform()
        if request is None:
            return False
        try:
            rows = await self.rest.agg_trades(request.key[0], request.first, request.count)
        except ExchangeError as error:
            retry_s = error.retry_s if isinstance(error, RestUnavailableError) else REFUSED_S
            facts = {"symbol": request.key[0], "first": request.first, "last": request.last, "reason": str(error)}
            log.warning("repair.put_off", extra=facts | {"retry_s": round(retry_s, 1)})
            self.scheduler.failed(request, retry_s, self.clock())
            return True
        while self.room() < len(rows):  # noqa: ASYNC110  # a thread makes the room
            await asyncio.sleep(IDLE_S)
        self.scheduler.answered(request, rows, self.clock_ns(), self.clock())
        self.perform()
        return True

    async def _work_on_snapshots(self) -> None:
        while True:
            request = self.snapshots.next_request(self.clock())
            if request is None:
                await asyncio.sleep(IDLE_S)
                continue
            try:
                body = await self.rest.depth(request.key[0])
            except ExchangeError as error:
                retry_s = error.retry_s if isinstance(error, RestUnavailableError) else REFUSED_S
                log.warning("snapshot.put_off", extra={"symbol": request.key[0], "reason": str(error)})
                self.snapshots.failed(request, retry_s, self.clock())
            else:
                self.snapshots.answered(request, body, self.clock_ns(), self.clock())
                self.perform()

    async def _work(self) -> None:
        while True:
            if not await self.step():
                await asyncio.sleep(IDLE_S)
