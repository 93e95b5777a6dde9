"""The built-in exchange: a source behind one loopback port that speaks WebSocket and REST."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from types import TracebackType
from typing import Self

from ofi_cvd.exchange.connection import Connection
from ofi_cvd.exchange.hub import Hub
from ofi_cvd.exchange.rest import Reply, Rest
from ofi_cvd.exchange.source import Source
from ofi_cvd.exchange.terms import Terms, terms_of

_TICK_S = 0.1


class Exchange:
    """An exchange that lives as long as its `async with` block.

    Args:
        source: the market.
        terms: keep-alive, life and limits; by default the real USD-M figures.
        host: address to bind.
        port: port to bind; 0 takes a free one.

    Attributes:
        port: the port that was bound.
        hub: histories, books and subscriptions.
        connections: open sockets, WebSocket or not.
        counters: what happened, by name.
    """

    def __init__(self, source: Source, *, terms: Terms | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        self.source = source
        self.terms = terms or terms_of("usdm")
        self.host, self.port = host, port
        self.hub = Hub(source.symbols)
        self.rest = Rest(self.hub, self.terms)
        self.connections: set[Connection] = set()
        self.dirty: list[Connection] = []
        self.counters: Counter[str] = Counter()
        self._started_s = time.monotonic()
        self._server: asyncio.Server | None = None
        self._all_gone = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._clock_base_ns = time.time_ns() - time.monotonic_ns()

    @property
    def url(self) -> str:
        """The base URL, e.g. `http://127.0.0.1:9443`."""
        return f"http://{self.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        """The base URL of the WebSocket doors."""
        return f"ws://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._started_s = time.monotonic()
        self._tasks = [loop.create_task(self.source.play(self)), loop.create_task(self._keep_time())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        self._all_gone.clear()
        if not self.connections:
            self._all_gone.set()
        for connection in list(self.connections):
            connection.abort()
        await self._all_gone.wait()
        if error is None:
            for outcome in outcomes:
                if isinstance(outcome, Exception):
                    raise outcome

    async def finished(self) -> None:
        """Wait until the source is exhausted; raise what made it fail."""
        await asyncio.shield(self._tasks[0])

    # --- the sink of the source -------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """Return the exchange's clock."""
        return time.time_ns() // 1_000_000

    def emit(self, stream: str, payload: bytes) -> None:
        """Publish one event."""
        self.hub.publish(stream, payload)

    def settle(self) -> None:
        """Send what was published."""
        dirty, self.dirty = self.dirty, []
        for connection in dirty:
            connection.flush()

    # --- what connections ask for -----------------------------------------------------------------------------------

    def now_s(self) -> float:
        """Return seconds since the exchange started."""
        return time.monotonic() - self._started_s

    def welcome(self, connection: Connection) -> None:
        """Take up a new WebSocket."""
        self.counters["websockets"] += 1
        self.hub.join(connection)

    def forget(self, connection: Connection) -> None:
        """Let go of a closed socket."""
        self.connections.discard(connection)
        if not self.connections:
            self._all_gone.set()
        self.hub.leave(connection)

    def serve_rest(self, connection: Connection, method: str, target: str, address: str, *, keep_alive: bool) -> None:
        """Answer a plain HTTP request."""
        self.counters["rest"] += 1
        if target.partition("?")[0] == "/status":
            body = json.dumps(self.status(), indent=1).encode()
            connection.reply(Reply(200, body), keep_alive=keep_alive)
            return
        answer = self.rest.answer(method, target, address=address, now_ms=self.now_ms())
        connection.reply(answer, keep_alive=keep_alive)

    def status(self) -> dict[str, object]:
        """Return what `/status` says."""
        trades = {
            symbol: {"first": history.first, "last": history.last, "count": history.count}
            for symbol, history in self.hub.histories.items()
        }
        sockets = [connection for connection in self.connections if connection.is_websocket]
        return {
            "uptime_s": round(self.now_s(), 3),
            "trades": trades,
            "frames": dict(self.hub.frames),
            "connections": [
                {"category": c.session.door.category, "streams": len(c.session.streams), "backlog": c.backlog}
                for c in sockets
            ],
            "counters": dict(self.counters),
        }

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            for connection in list(self.connections):
                connection.tick(self.now_s())
