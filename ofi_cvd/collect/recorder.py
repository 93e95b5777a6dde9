"""The recorder's shell: sockets, timers, REST and the writer thread around the session that decides.

`record` is the whole recorder for whoever runs it: the command, the one-click run, a test.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from functools import partial

from filelock import FileLock, Timeout
from websockets.exceptions import WebSocketException

from ofi_cvd.binance.endpoints import Endpoint, plan_connections, resolve
from ofi_cvd.binance.rest import RestClient
from ofi_cvd.collect.actions import Action, Close, Fetch, Note, Open
from ofi_cvd.collect.clock import read_clock
from ofi_cvd.collect.group import Link, Policy
from ofi_cvd.collect.link import FrameConnection, ending, open_link
from ofi_cvd.collect.repair import Repairer
from ofi_cvd.collect.resume import find_tail
from ofi_cvd.collect.sealing import seal_in_background
from ofi_cvd.collect.session import Session
from ofi_cvd.collect.spooler import Repair, Spooler
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.collect.track import Hole
from ofi_cvd.errors import ExchangeError, LockedError, SpoolError
from ofi_cvd.settings import Settings

TICK_S = 0.1
CLOCK_S = 60.0
STATUS_S = 60.0
CLOSE_S = 0.7  # the parts of an end within five seconds
LAST_REPAIRS_S = 1.0
SPOOL_CLOSE_S = 2.5
LOCK_NAME = ".recorder.lock"
_LOUD = frozenset({"gap", "drop", "silent", "unrepairable", "disconnect"})

log = logging.getLogger(__name__)


async def record(settings: Settings, *, stop: asyncio.Event, stats: RecorderStats | None = None) -> None:
    """Record until `stop` is set or `RUN_HOURS` are over; everything is on the disk when this returns.

    Raises:
        UsageError: an endpoint that is not safe, streams that cannot share a connection.
        LockedError: another recorder holds the spool.
        SpoolError: the spool folder cannot be made.
    """
    endpoint = resolve(settings.endpoint, settings.market)
    lock = FileLock(settings.spool_dir / LOCK_NAME)
    try:
        settings.spool_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise LockedError(
            f"expected a spool that nobody records into, found {settings.spool_dir} held by another recorder"
        ) from None
    except OSError as error:
        raise SpoolError(f"expected a spool folder at {settings.spool_dir}, found {error}") from None
    try:
        async with RestClient(endpoint, settings.market) as rest:
            await _Recorder(settings, endpoint, rest, stats or RecorderStats()).run(stop)
    finally:
        lock.release()


class _Recorder:
    def __init__(self, settings: Settings, endpoint: Endpoint, rest: RestClient, stats: RecorderStats) -> None:
        self._settings, self._endpoint, self._rest, self._stats = settings, endpoint, rest, stats
        streams = dict.fromkeys((settings.trade_stream, *settings.book_streams, settings.source))
        plans = plan_connections(endpoint, settings.market, settings.symbols, streams)
        self._session = Session(plans, settings.market, Policy.of(settings), rand=random.random, stats=stats)
        self._spooler = Spooler(
            settings.spool_dir,
            queue_frames=settings.queue_frames,
            retain_bytes=settings.retain_mb * 1024 * 1024,
            stats=stats,
        )
        self._repairer = Repairer(rest, self._put_repair, self._note, time.monotonic, time.time_ns)
        self._fetches: asyncio.Queue[Fetch] = asyncio.Queue()
        self._links: dict[str, asyncio.Task[None]] = {}
        self._connections: dict[str, FrameConnection] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Record until told to stop, or until something that must run fails."""
        await self._resume()
        self._spooler.start()
        jobs = [
            asyncio.create_task(job)
            for job in (self._tick(), self._repair(), self._watch_clock(), self._report(), self._seal())
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

    async def _end(self, stop: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), self._settings.run_hours * 3600)

    async def _resume(self) -> None:
        """Continue after what the spool holds: repeated ids stay out, what is missing since then is found."""
        for (symbol, stream), track in self._session.tracks.items():
            settings = self._settings
            tail = await asyncio.to_thread(
                find_tail, settings.spool_dir, symbol, stream, settings.market, settings.dedup_lru,
                time.time_ns() // 1_000_000,
            )  # fmt: skip
            track.resume(tail.last, tail.last_ns, tail.recent, [Hole(*hole, due=0.0) for hole in tail.holes])

    async def _tick(self) -> None:
        while True:
            self._session.tick(time.monotonic(), time.time_ns())
            for action in self._session.take():
                self._perform(action)
            await asyncio.sleep(TICK_S)

    def _perform(self, action: Action) -> None:
        if isinstance(action, Note):
            self._note(action)
        elif isinstance(action, Fetch):
            self._fetches.put_nowait(action)
        elif isinstance(action, Open):
            self._links[action.link.conn] = asyncio.create_task(self._hold(action.link))
        else:
            self._close(action)

    async def _hold(self, link: Link) -> None:
        """Open a connection and stay with it until it ends; the session hears of both."""
        reason = "cancelled"
        heart: asyncio.Task[None] | None = None
        try:
            connection = await open_link(
                link.url,
                partial(self._received, link.conn),
                max_size=self._settings.max_frame_bytes,
                loopback=self._endpoint.loopback,
                close_timeout=CLOSE_S,
            )
            self._connections[link.conn] = connection
            self._session.opened(link.conn, time.monotonic())
            heart = asyncio.create_task(self._beat(connection))
            await connection.wait_closed()
            reason = ending(connection)
        except (OSError, TimeoutError, WebSocketException) as error:
            reason = f"{type(error).__name__}: {error}"
            log.warning("collect.connect_failed", extra={"conn": link.conn, "reason": reason})
        finally:
            if heart is not None:
                heart.cancel()
            self._connections.pop(link.conn, None)
            self._links.pop(link.conn, None)
            self._session.closed(link.conn, time.monotonic(), reason)

    async def _beat(self, connection: FrameConnection) -> None:
        """Send pings so that idle paths stay open; nobody waits for the pongs (PROTOCOL 1.4)."""
        while True:
            await asyncio.sleep(self._settings.wss_ping_interval)
            try:
                await connection.ping()
            except WebSocketException:
                return

    def _received(self, conn: str, frames: list[bytes]) -> None:
        now = time.monotonic()
        entries = self._session.received(conn, frames, time.time_ns(), now, self._spooler.room())
        for note in self._session.settled_breaks(now):
            self._note(note)
        if entries:
            self._spooler.put(entries)

    def _close(self, action: Close) -> None:
        connection = self._connections.get(action.conn)
        if connection is None:
            if task := self._links.get(action.conn):
                task.cancel()
            return
        task = asyncio.create_task(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _repair(self) -> None:
        while True:
            await self._repairer.run(await self._fetches.get())

    async def _repair_rest(self) -> None:
        while not self._fetches.empty():
            await self._repairer.run(self._fetches.get_nowait())

    async def _put_repair(self, repair: Repair) -> None:
        while not self._spooler.room():  # noqa: ASYNC110  # a thread makes the room
            await asyncio.sleep(TICK_S)
        self._spooler.put_repair(repair)

    async def _watch_clock(self) -> None:
        while True:
            try:
                reading = await read_clock(self._rest, time.time_ns)
            except ExchangeError as error:
                log.warning("collect.clock_unknown", extra={"reason": str(error)})
            else:
                self._stats.clock_offset_ms, self._stats.clock_rtt_ms = reading.offset_ms, reading.rtt_ms
                self._note(Note("clock", facts={"offset_ms": reading.offset_ms, "rtt_ms": reading.rtt_ms}))
            await asyncio.sleep(CLOCK_S)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(STATUS_S)
            log.info("collect.status", extra=self._stats.facts())

    async def _seal(self) -> None:
        if self._settings.seal_after_secs:
            await seal_in_background(self._settings.spool_dir, self._settings.seal_after_secs)
        await asyncio.Event().wait()

    def _note(self, note: Note) -> None:
        level = logging.WARNING if note.event in _LOUD else logging.INFO
        about = {"symbol": note.symbol, "stream": note.stream, "conn": note.conn}
        log.log(level, "collect.%s", note.event, extra={k: v for k, v in about.items() if v} | dict(note.facts))
        self._spooler.note(note, time.time_ns())

    async def _shut_down(self, reason: str) -> None:
        """Close the sockets, then write what came through them; within five seconds."""
        links = list(self._links.values())
        for connection in list(self._connections.values()):
            task = asyncio.create_task(connection.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        for conn, link in list(self._links.items()):
            if conn not in self._connections:
                link.cancel()
        if links:
            _, late = await asyncio.wait(links, timeout=1.5 * CLOSE_S)
            for link in late:
                link.cancel()
            await asyncio.gather(*links, return_exceptions=True)
        await asyncio.gather(*self._closing, return_exceptions=True)
        self._session.finish(time.time_ns())
        for action in self._session.take():
            if isinstance(action, Note | Fetch):
                self._perform(action)
        with contextlib.suppress(TimeoutError):  # what is not repaired now is found again by the next start
            await asyncio.wait_for(self._repair_rest(), LAST_REPAIRS_S)
        self._note(Note("shutdown", facts={"reason": reason} | self._stats.facts()))
        await asyncio.to_thread(self._spooler.close, SPOOL_CLOSE_S)
