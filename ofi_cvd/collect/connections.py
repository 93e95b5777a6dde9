"""The sockets: opens and closes connections as the session wishes, and tells it what they bring."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from websockets.exceptions import WebSocketException

from ofi_cvd.binance.endpoints import Endpoint
from ofi_cvd.collect.actions import CloseConnection, OpenConnection
from ofi_cvd.collect.frame_connection import FrameConnection, ending, open_connection
from ofi_cvd.collect.session import Session
from ofi_cvd.settings import Settings

CLOSE_S = 0.7  # a part of the five seconds within which a recorder ends

log = logging.getLogger(__name__)


class Connections:
    """The open connections and the tasks that hold them.

    Args:
        settings: limits of frames and pings.
        endpoint: where.
        session: hears what happens.
        room: how many lines may be stored now.
        perform: carries out what the session wishes after it was told of frames.
    """

    def __init__(
        self,
        settings: Settings,
        endpoint: Endpoint,
        session: Session,
        room: Callable[[], int],
        perform: Callable[[], None],
    ) -> None:
        self._settings, self._endpoint, self._session = settings, endpoint, session
        self._room, self._perform = room, perform
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._sockets: dict[str, FrameConnection] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._trouble = ""

    @property
    def last_trouble(self) -> str:
        """Why the last connection could not be opened, as the end of a sentence; empty if all could."""
        return f" (last: {self._trouble})" if self._trouble else ""

    def open(self, action: OpenConnection) -> None:
        """Begin to connect."""
        self._tasks[action.conn] = asyncio.create_task(self._hold(action))

    def close(self, action: CloseConnection) -> None:
        """Begin to close a connection, or stop opening it."""
        socket = self._sockets.get(action.conn)
        if socket is not None:
            self._begin_close(socket)
        elif task := self._tasks.get(action.conn):
            task.cancel()

    async def close_all(self) -> None:
        """Close everything, in a bounded time."""
        tasks = list(self._tasks.values())
        for socket in list(self._sockets.values()):
            self._begin_close(socket)
        for conn, task in list(self._tasks.items()):
            if conn not in self._sockets:
                task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=1.5 * CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _hold(self, wish: OpenConnection) -> None:
        """Open a connection and stay with it until it ends; the session hears of both."""
        reason = "cancelled"
        pings: asyncio.Task[None] | None = None
        try:
            socket = await open_connection(
                wish.url,
                partial(self._received, wish.conn),
                max_size=self._settings.max_frame_bytes,
                loopback=self._endpoint.loopback,
                close_timeout=CLOSE_S,
            )
            self._sockets[wish.conn] = socket
            self._session.opened(wish.conn, time.monotonic())
            pings = asyncio.create_task(self._send_pings(socket))
            await socket.wait_closed()
            reason = ending(socket)
        except (OSError, TimeoutError, WebSocketException) as error:
            reason = self._trouble = f"{type(error).__name__}: {error}"
            log.warning("collect.connect_failed", extra={"conn": wish.conn, "reason": reason})
        finally:
            if pings is not None:
                pings.cancel()
            self._sockets.pop(wish.conn, None)
            self._tasks.pop(wish.conn, None)
            self._session.closed(wish.conn, time.monotonic(), reason)

    async def _send_pings(self, socket: FrameConnection) -> None:
        """Send pings so that idle paths stay open; nobody waits for the pongs, which a busy venue answers late."""
        while True:
            await asyncio.sleep(self._settings.wss_ping_interval)
            try:
                await socket.ping()
            except WebSocketException:
                return

    def _received(self, conn: str, frames: list[bytes]) -> None:
        self._session.received(conn, frames, time.time_ns(), time.monotonic(), self._room())
        self._perform()

    def _begin_close(self, socket: FrameConnection) -> None:
        task = asyncio.create_task(socket.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
