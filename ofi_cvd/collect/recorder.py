"""The recorder's shell: sockets, timers, REST and the writer thread around the session that decides.

`record` is the whole recorder for whoever runs it: the command, the one-click run, a test.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time

from ofi_cvd.binance.endpoints import Endpoint, plan_connections, resolve
from ofi_cvd.binance.rest import RestClient
from ofi_cvd.collect.actions import Action, CloseConnection, LedgerRecord, OpenConnection, StoreLines, StoreRepair
from ofi_cvd.collect.clock import read_clock
from ofi_cvd.collect.connection_group import Policy
from ofi_cvd.collect.connections import Connections
from ofi_cvd.collect.fetcher import Fetcher
from ofi_cvd.collect.lookback import StreamRecords, open_gaps, read_records, unsaid_breaks
from ofi_cvd.collect.resume import Tail, find_tail
from ofi_cvd.collect.sealing import seal_in_background
from ofi_cvd.collect.session import Session
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.collect.writer_thread import WriterThread
from ofi_cvd.common.files import exclusive
from ofi_cvd.errors import ExchangeError, SpoolError
from ofi_cvd.settings import Settings
from ofi_cvd.spool.layout import list_hours

TICK_S = 0.1
CLOCK_S = 60.0
STATUS_S = 60.0
LAST_REPAIRS_S = 1.0
SPOOL_CLOSE_S = 2.5
NOTHING_FACTOR = 4  # times FIRST_DATA_SECS without one frame: this is no recording
LOCK_NAME = ".recorder.lock"
_LOUD = frozenset({"gap", "drop", "silent", "unrepairable", "disconnect"})

log = logging.getLogger(__name__)


async def record(settings: Settings, *, stop: asyncio.Event, stats: RecorderStats | None = None) -> None:
    """Record until `stop` is set or `RUN_HOURS` are over; everything is on the disk when this returns.

    Raises:
        UsageError: an endpoint that is not safe, streams that cannot share a connection, a folder that cannot be.
        LockedError: another recorder holds the spool.
        SpoolError: something received is not on the disk at the end.
        ExchangeError: nothing was received within four times `FIRST_DATA_SECS`, or of a symbol in the whole run.
    """
    endpoint = resolve(settings.endpoint, settings.market)
    busy = f"expected a spool that nobody records into, found {settings.spool_dir} held by another recorder"
    with exclusive(settings.spool_dir / LOCK_NAME, busy=busy):
        async with RestClient(endpoint, settings.market) as rest:
            await _Recorder(settings, endpoint, rest, stats or RecorderStats()).run(stop)


class _Recorder:
    def __init__(self, settings: Settings, endpoint: Endpoint, rest: RestClient, stats: RecorderStats) -> None:
        self._settings, self._rest, self._stats = settings, rest, stats
        plans = plan_connections(endpoint, settings.market, settings.symbols, settings.recorded_streams)
        self._session = Session(plans, settings.market, Policy.of(settings), rand=random.random, stats=stats)
        self._writer = WriterThread(
            settings.spool_dir,
            queue_frames=settings.queue_frames,
            retain_bytes=settings.retain_mb * 1024 * 1024,
            stats=stats,
        )
        self._connections = Connections(settings, endpoint, self._session, self._writer.room, self._perform_all)
        self._fetcher = Fetcher(
            self._session.repairs,
            self._session.snapshots,
            rest,
            self._writer.room,
            self._perform_all,
            time.monotonic,
            time.time_ns,
        )  # fmt: skip
        self._started_s = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Record until told to stop, or until something that must run fails."""
        self._started_s = time.monotonic()
        for state in self._session.states.values():
            state.is_ready = False
        self._writer.start()
        jobs = [
            asyncio.create_task(job)
            for job in (
                self._tick(),
                self._resume(),
                self._watch_clock(),
                self._report(),
                self._seal(),
                self._fetcher.run_snapshots(),
            )
        ]
        ending = asyncio.create_task(self._end(stop))
        try:
            done, _ = await asyncio.wait([ending, *jobs], return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                job.result()
        finally:
            for task in (ending, *jobs):
                task.cancel()
            await asyncio.gather(ending, *jobs, return_exceptions=True)
            await self._shut_down("stopped" if stop.is_set() else "over")
        self._check_received()

    async def _end(self, stop: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), self._settings.run_hours * 3600)

    async def _resume(self) -> None:
        """Continue after what the spool holds, then look further back and repair, for ever."""
        settings, tails = self._settings, dict[tuple[str, str], Tail]()
        hours_ms = await asyncio.to_thread(lambda: [hour_ms for hour_ms, _ in list_hours(settings.spool_dir)])
        for key in self._session.states:
            tails[key] = await asyncio.to_thread(find_tail, settings.spool_dir, hours_ms, *key, settings.market)
            self._session.resume(key, tails[key])
            self._perform_all()
        hours_ms, records = await asyncio.to_thread(read_records, settings.spool_dir, time.time_ns() // 1_000_000)
        for key, state in self._session.states.items():
            known = records.get(key, StreamRecords())
            if state.is_trade:
                now_ms = time.time_ns() // 1_000_000
                gaps = await asyncio.to_thread(
                    open_gaps, settings.spool_dir, hours_ms, key, settings.market, known, now_ms
                )
                state.add_gaps(gaps)
            else:
                state.breaks += unsaid_breaks(tails[key], known, is_chained=state.coverage is None)
        await self._fetcher.run()

    async def _tick(self) -> None:
        while True:
            self._writer.check()
            self._session.tick(time.monotonic(), time.time_ns())
            self._perform_all()
            self._check_something_comes()
            await asyncio.sleep(TICK_S)

    def _perform_all(self) -> None:
        for action in self._session.take():
            self._perform(action)

    def _perform(self, action: Action) -> None:
        if isinstance(action, StoreLines):
            self._writer.put(action.lines)
        elif isinstance(action, StoreRepair):
            self._writer.put_repair(action)
        elif isinstance(action, LedgerRecord):
            self._record(action)
        elif isinstance(action, OpenConnection):
            self._connections.open(action)
        elif isinstance(action, CloseConnection):
            self._connections.close(action)

    def _check_something_comes(self) -> None:
        """Raise if nothing at all came for too long since the start: a dead endpoint, a wrong name, no network."""
        patience_s = NOTHING_FACTOR * self._settings.first_data_secs
        if time.monotonic() - self._started_s >= patience_s and not self._heard(*self._settings.symbols):
            raise ExchangeError(
                f"expected data from {self._settings.endpoint} within {patience_s:g} s of the start, found none"
                f"{self._connections.last_trouble}; look at the network, ENDPOINT and SYMBOLS"
            )

    def _check_received(self) -> None:
        """Raise if the run brought nothing of a symbol, though it lasted long enough: that is no success."""
        silent = [symbol for symbol in self._settings.symbols if not self._heard(symbol)]
        lasted_s = time.monotonic() - self._started_s
        if len(silent) == len(self._settings.symbols) or (silent and lasted_s >= self._settings.first_data_secs):
            raise ExchangeError(
                f"expected data of every symbol asked for, found none of {', '.join(silent)} in {lasted_s:.0f} s"
                f"{self._connections.last_trouble}"
            )

    def _heard(self, *symbols: str) -> bool:
        streams = self._stats.streams.items()
        return any(row.received or row.duplicates or row.dropped for (symbol, _), row in streams if symbol in symbols)

    async def _watch_clock(self) -> None:
        while True:
            try:
                reading = await read_clock(self._rest, time.time_ns)
            except ExchangeError as error:
                log.warning("collect.clock_unknown", extra={"reason": str(error)})
            else:
                self._stats.clock_offset_ms, self._stats.clock_rtt_ms = reading.offset_ms, reading.rtt_ms
                self._record(LedgerRecord("clock", facts={"offset_ms": reading.offset_ms, "rtt_ms": reading.rtt_ms}))
            await asyncio.sleep(CLOCK_S)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(STATUS_S)
            log.info("collect.status", extra=self._stats.facts())

    async def _seal(self) -> None:
        if self._settings.seal_after_secs:
            await seal_in_background(self._settings.spool_dir, self._settings.seal_after_secs)
        await asyncio.Event().wait()

    def _record(self, record: LedgerRecord) -> None:
        level = logging.WARNING if record.event in _LOUD else logging.INFO
        about = {"symbol": record.symbol, "stream": record.stream, "conn": record.conn}
        log.log(level, "collect.%s", record.event, extra={k: v for k, v in about.items() if v} | dict(record.facts))
        self._writer.record(record, time.time_ns())

    async def _shut_down(self, reason: str) -> None:
        """Close the sockets, then write what came through them; within five seconds.

        Raises:
            SpoolError: not everything is on the disk.
        """
        await self._connections.close_all()
        self._session.finish(time.time_ns())
        self._perform_all()
        with contextlib.suppress(TimeoutError):  # what is not repaired now is found again by the next start
            await asyncio.wait_for(self._fetcher.drain(), LAST_REPAIRS_S)
        self._perform_all()
        self._record(LedgerRecord("shutdown", facts={"reason": reason} | self._stats.facts()))
        lost = await asyncio.to_thread(self._writer.close, SPOOL_CLOSE_S)
        self._writer.check()
        if lost:
            raise SpoolError(f"expected everything received on the disk at the end, found {lost} lines lost")
