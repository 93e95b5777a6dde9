"""The built-in exchange: a source behind one loopback port that speaks WebSocket and REST."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from websockets.http11 import Request

from ofi_cvd.exchange.connection import Connection, facts_of
from ofi_cvd.exchange.fault_injector import FaultInjector, faulty_reply
from ofi_cvd.exchange.faults import Fault, FaultPlan, make_fault
from ofi_cvd.exchange.framefaults import FrameFaults
from ofi_cvd.exchange.history import History
from ofi_cvd.exchange.hub import Block, Hub
from ofi_cvd.exchange.reply import Reply
from ofi_cvd.exchange.rest import Rest
from ofi_cvd.exchange.source import Source
from ofi_cvd.exchange.venue_limits import VenueLimits, limits_of

_TICK_S = 0.05


class Exchange:
    """An exchange that lives as long as its `async with` block.

    Args:
        source: the market.
        faults: what goes wrong, and when.
        seed: decides the faults that go by chance.
        limits: keep-alive, life and limits; by default the real USD-M figures.
        host: address to bind.
        port: port to bind; 0 takes a free one.
        archive: a folder of archive files to serve; by default daily files are made of the trades emitted so far.

    Attributes:
        port: the port that was bound.
        hub: histories, books and subscriptions.
        connections: open sockets, WebSocket or not.
        counters: what happened, by name.

    In a coroutine::

        async with Exchange(MarketSource(["BTCUSDT"], make)) as exchange:
            await record(exchange.url)
            exchange.inject("reset", "btcusdt@aggTrade")
    """

    def __init__(
        self,
        source: Source,
        *,
        faults: Iterable[Fault] = (),
        seed: int = 0,
        limits: VenueLimits | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        archive: Path | None = None,
    ) -> None:
        self.source = source
        self.limits = limits or limits_of("usdm")
        self.host, self.port = host, port
        self.connections: set[Connection] = set()
        self.dirty: list[Connection] = []
        self.counters: Counter[str] = Counter()
        plan = FaultPlan(faults, seed)
        self._frame_faults = FrameFaults(plan)
        self.fault_injector = FaultInjector(plan, self._frame_faults)
        self.hub = Hub(
            {symbol: source.history(symbol) for symbol in source.symbols}, self._frame_faults, self.limits.venue
        )
        for fault in plan.standing("clock"):
            self.fault_injector.inject(fault, (), self.hub, 0)
        self._rest = Rest(self.hub, self.limits, archive)
        self._started_s = time.monotonic()
        self._server: asyncio.Server | None = None
        self._opened, self._all_gone = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    @property
    def url(self) -> str:
        """The base URL, e.g. `http://127.0.0.1:9443`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def ws_url(self) -> str:
        """The base URL of the WebSocket routes."""
        return "ws" + self.url.removeprefix("http")

    @property
    def emitted(self) -> dict[str, History]:
        """The aggregated trades emitted so far by symbol: `first` and `last` id, `count`; no fault changes them."""
        return self.hub.histories

    @property
    def sockets(self) -> list[Connection]:
        """The open WebSockets, oldest first."""
        return sorted((c for c in self.connections if c.is_websocket), key=lambda c: c.born_s)

    @property
    def skipped(self) -> list[tuple[str, bytes]]:
        """The `(stream, payload)` that the fault `gap` kept off the wire."""
        return list(self._frame_faults.skipped)

    async def open(self) -> None:
        """Bind the port and start the market; `async with` does it too.

        Raises:
            OSError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), self.host, self.port, start_serving=False)
        self.port = self._server.sockets[0].getsockname()[1]
        self._started_s = time.monotonic()
        playing = loop.create_task(self.source.play(self))
        self._tasks = [playing, loop.create_task(self._keep_time())]
        # Nobody is served before there is a market: an empty book would mislead a client for ever.
        opened = loop.create_task(self._opened.wait())
        await asyncio.wait({playing, opened}, return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()
        if playing.done() and playing.exception():
            await self.close()
        await self._server.start_serving()

    async def close(self) -> None:
        """Drop every connection and stop; raise what made the source fail."""
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        if self.connections:
            self._all_gone.clear()
            for connection in list(self.connections):
                connection.abort()
            await self._all_gone.wait()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def finished(self) -> None:
        """Wait until the source is exhausted; raise what made it fail."""
        await asyncio.shield(self._tasks[0])

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until `happened()`; it is asked each time the market was sent on, and twenty times a second."""
        if not happened():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append((happened, waiter))
            await waiter

    def inject(self, name: str, value: str | None = None, *, count: int | None = None) -> int:
        """Let a fault strike now.

        Sockets that are open are hit at once; frame faults hit the next
        frame that matches, REST faults the next request, `wrong-route` the
        next connection (the next `count` of them).

        Returns:
            How many sockets were hit.

        Raises:
            InputError: an unknown fault or a bad value.
        """
        return self.fault_injector.inject(
            make_fault(name, value, count=count), self.sockets, self.hub, self.exchange_ms()
        )

    def clear(self, name: str) -> None:
        """End a fault that was injected: strikes still to come, silence, throttling, the clock's offset."""
        self.fault_injector.clear(name)
        if name == "clock":
            self.hub.clock_ms = 0
        for socket in self.sockets:
            if name in {"silent", "wrong-route"}:
                socket.session.muted.clear()
                self.hub.join(socket)
            elif name == "slow":
                socket.throttle = None
                socket.flush()

    def now_ms(self) -> int:
        """Return this machine's clock; the market runs on it."""
        return time.time_ns() // 1_000_000

    def exchange_ms(self) -> int:
        """Return the exchange's clock: the machine's and the offset of the fault `clock`."""
        return self.now_ms() + self.hub.clock_ms

    def emit(self, stream: str, payload: bytes) -> None:
        """Publish one event."""
        self.hub.publish(stream, payload)

    def emit_block(self, block: Block) -> None:
        """Publish many finished frames."""
        self.hub.publish_block(block)

    def settle(self) -> None:
        """Send what was published."""
        self._opened.set()
        dirty, self.dirty = self.dirty, []
        for connection in dirty:
            connection.flush()
        if self._waiters:
            self._wake()

    def backlog(self) -> int | None:
        """Return the unsent bytes of the slowest WebSocket that listens; None where there is none."""
        return max((socket.backlog for socket in self.connections if socket.session.audible), default=None)

    def now_s(self) -> float:
        """Return seconds since the exchange started."""
        return time.monotonic() - self._started_s

    def adopt(self, connection: Connection) -> None:
        """Take up a new socket."""
        self.connections.add(connection)

    def mark_dirty(self, connection: Connection) -> None:
        """Remember to flush the socket when the market was sent on."""
        self.dirty.append(connection)

    def welcome(self, connection: Connection) -> None:
        """Take up a new WebSocket."""
        self.counters["websockets"] += 1
        self.fault_injector.meet(connection, self.hub)
        self.hub.join(connection)

    def forget(self, connection: Connection) -> None:
        """Let go of a closed socket."""
        self.connections.discard(connection)
        self.hub.leave(connection)
        if not self.connections:
            self._all_gone.set()

    def serve_rest(self, connection: Connection, request: Request, address: str, *, keep_alive: bool) -> None:
        """Answer a plain HTTP request, or do to it what a fault demands."""
        if request.path.partition("?")[0] == "/status":
            connection.reply(Reply(200, json.dumps(self.status(), indent=1).encode()), keep_alive=keep_alive)
            return
        self.counters["rest"] += 1
        fault = self.fault_injector.intercept(is_depth=request.path.partition("?")[0].endswith("/depth"))
        if fault is None or fault.name == "depth-stale":
            self.hub.books.stale_ms = round(fault.number * 1000) if fault else 0
            now_ms, part = self.exchange_ms(), request.headers.get("Range")
            answer = self._rest.answer(request.method, request.path, address=address, now_ms=now_ms, part=part)
            connection.reply(answer, keep_alive=keep_alive)
        elif reply := faulty_reply(fault):
            connection.reply(reply, keep_alive=keep_alive)
        else:
            asyncio.get_running_loop().call_later(fault.number, connection.abort)

    def status(self) -> dict[str, object]:
        """Return what `/status` says."""
        return {
            "venue": self.limits.venue,
            "uptime_s": round(self.now_s(), 3),
            "trades": {
                symbol: {"first": history.first, "last": history.last, "count": history.count}
                for symbol, history in self.hub.histories.items()
            },
            "frames": dict(self.hub.frames),
            "connections": [facts_of(socket, self.now_s()) for socket in self.sockets],
            "counters": dict(self.counters),
            "faults": dict(self.fault_injector.fired),
        }

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            now_s = self.now_s()
            for fault in self.fault_injector.plan.due(now_s):
                self.fault_injector.inject(fault, self.sockets, self.hub, self.exchange_ms())
            for connection in list(self.connections):
                connection.tick(now_s)
            self._wake()

    def _wake(self) -> None:
        waiting = [(happened, waiter) for happened, waiter in self._waiters if not waiter.done()]
        self._waiters = [(happened, waiter) for happened, waiter in waiting if not happened()]
        for _, waiter in set(waiting) - set(self._waiters):
            waiter.set_result(None)
