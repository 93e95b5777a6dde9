"""One TCP connection of a client: HTTP requests until one of them upgrades, WebSocket frames from then on.

Incoming bytes are parsed by the sans-IO half of `websockets`; outgoing data
frames come finished from the hub and are only joined here.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from ofi_cvd.exchange.frames import ping_frame, text_frame, wrap
from ofi_cvd.exchange.limits import KeepAlive
from ofi_cvd.exchange.reply import Reply
from ofi_cvd.exchange.routes import Route, route_for
from ofi_cvd.exchange.session import Answer, Session

if TYPE_CHECKING:
    from ofi_cvd.exchange.protocols import SocketHost

MAX_INCOMING = 256 * 1024  # a SUBSCRIBE of 1024 streams fits, nothing much larger does
_CLOSE_GRACE_S = 2.0
_THROTTLE_STEP_S = 0.05


class Connection(asyncio.Protocol):
    """The exchange's end of a socket.

    Attributes:
        session: the WebSocket's subscriptions; an empty one before the upgrade.
        is_websocket: whether the upgrade has happened.
        throttle: bytes per second to send at most, None for no limit.
        is_stalled: half-open: nothing is sent, nothing is answered.
        born_s: when the WebSocket was opened, in seconds since the exchange started.
    """

    def __init__(self, exchange: SocketHost[Connection]) -> None:
        self.exchange = exchange
        self.session = Session(Route("private", combined=False, streams=()), exchange.limits.venue)
        self.is_websocket = False
        self.is_stalled = False
        self.throttle: int | None = None
        self.born_s = 0.0
        self._http = ServerProtocol(max_size=MAX_INCOMING)
        self._transport: asyncio.Transport
        self._address = ""
        self._keepalive = KeepAlive(exchange.limits.ping_every_s, exchange.limits.pong_within_s, float("inf"))
        self._outbox: deque[bytes] = deque()
        self._fragments = bytearray()
        self._outbox_bytes = 0
        self._is_ending = False
        self._throttle_timer: asyncio.TimerHandle | None = None

    # --- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # asyncio hands streams a Transport
        self._transport = transport
        self._address = str((transport.get_extra_info("peername") or ("?",))[0])
        self.exchange.adopt(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self.is_stalled or self._is_ending:
            return
        self._http.receive_data(data)
        for event in self._http.events_received():
            if isinstance(event, Request):
                self._on_request(event)
            elif isinstance(event, Frame):
                self._on_frame(event)
        self._send_protocol_bytes()

    def eof_received(self) -> bool | None:
        """The client has closed its half; keep ours only while stalled."""
        return self.is_stalled

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        del exc
        self._is_ending = True
        if self._throttle_timer is not None:
            self._throttle_timer.cancel()
        self.exchange.forget(self)

    # --- what the exchange does to a client -------------------------------------------------------------------------

    def push(self, frame: bytes) -> None:
        """Queue finished frames; `flush` sends them."""
        if not self._outbox:
            self.exchange.mark_dirty(self)
        self._outbox.append(frame)
        self._outbox_bytes += len(frame)

    def flush(self) -> None:
        """Hand what is queued to the socket; a client too slow for it is cut off, as the real exchange does."""
        if self._is_ending or self.is_stalled:
            self._outbox.clear()
            self._outbox_bytes = 0
            return
        if self.backlog > self.exchange.limits.queue_bytes:
            self.exchange.counters["slow_consumers"] += 1
            self.abort()
            return
        if self.throttle is not None:
            self._trickle()
            return
        data = b"".join(self._outbox)
        self._outbox.clear()
        self._outbox_bytes = 0
        self._transport.write(data)

    @property
    def backlog(self) -> int:
        """Bytes that wait for the client."""
        return self._outbox_bytes + (0 if self._is_ending else self._transport.get_write_buffer_size())

    def announce(self, payload: bytes, stream: str) -> None:
        """Send a message of the exchange itself, such as `serverShutdown`."""
        self.push(text_frame(wrap(stream, payload) if self.session.combined else payload))
        self.flush()

    def tick(self, now_s: float) -> None:
        """Do what time demands: pings, the end of unanswered pings, the end of life."""
        if not self.is_websocket or self.is_stalled or self._is_ending:
            return
        if now_s - self.born_s > self.exchange.limits.life_s:
            self.exchange.counters["lives_ended"] += 1
            self.close(1001, "connection life ended")
        elif self._keepalive.is_dead(now_s):
            self.exchange.counters["pings_unanswered"] += 1
            self.abort()
        elif payload := self._keepalive.due(now_s):
            self.push(ping_frame(payload))
            self.flush()

    def close(self, code: int, reason: str = "") -> None:
        """Close cleanly: what is queued, a close frame, then the socket."""
        if self._is_ending or not self.is_websocket:
            self.abort()
            return
        self.throttle = None
        self.flush()
        self._http.send_close(code, reason)
        self._send_protocol_bytes()
        self._is_ending = True
        self.exchange.hub.leave(self)
        asyncio.get_running_loop().call_later(_CLOSE_GRACE_S, self.abort)
        self._transport.close()

    def abort(self) -> None:
        """Drop the socket without a word."""
        self._is_ending = True
        self._transport.abort()

    def reset(self) -> None:
        """Drop the socket with a TCP reset."""
        raw = self._transport.get_extra_info("socket")
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.abort()

    def stall(self) -> None:
        """Become half-open: the socket stays, nothing is sent or answered any more."""
        self.is_stalled = True
        self.exchange.hub.leave(self)

    # --- incoming ---------------------------------------------------------------------------------------------------

    def _on_request(self, request: Request) -> None:
        if "websocket" in request.headers.get("Upgrade", "").lower():
            self._upgrade(request)
            return
        # The next request of a kept-alive connection needs a parser of its own.
        self._http = ServerProtocol(max_size=MAX_INCOMING)
        keep_alive = request.protocol == "HTTP/1.1" and request.headers.get("Connection", "").lower() != "close"
        self.exchange.serve_rest(self, request, self._address, keep_alive=keep_alive)

    def reply(self, answer: Reply, *, keep_alive: bool = False) -> None:
        """Send an HTTP answer."""
        if self._is_ending:
            return
        head = [
            f"HTTP/1.1 {answer.status} {_phrase(answer.status)}",
            "Content-Type: application/json;charset=UTF-8",
            f"Content-Length: {len(answer.body)}",
            f"Connection: {'keep-alive' if keep_alive else 'close'}",
            *(f"{name}: {value}" for name, value in answer.headers.items()),
        ]
        self._transport.write("\r\n".join([*head, "", ""]).encode() + answer.body)
        if not keep_alive:
            self._transport.close()

    def _upgrade(self, request: Request) -> None:
        route = route_for(request.path, self.exchange.limits.venue)
        if route is None:
            self.reply(Reply(404, json.dumps({"code": -5000, "msg": "no such stream path"}).encode()))
            return
        response = self._http.accept(request)
        self._http.send_response(response)
        self._send_protocol_bytes()
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return
        self.session = Session(route, self.exchange.limits.venue)
        self.is_websocket = True
        self.born_s = self.exchange.now_s()
        self._keepalive.next_s = self.born_s + self.exchange.limits.ping_every_s
        if self.session.has_too_many_streams:
            self.close(1008, "too many streams")
            return
        self.exchange.welcome(self)

    def _on_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE or not self.is_websocket:
            return
        self._obey(self.session.count(self.exchange.now_s()))
        if frame.opcode is Opcode.PONG:
            self._keepalive.pong(bytes(frame.data))
        elif frame.opcode in {Opcode.TEXT, Opcode.CONT} and not self._is_ending:
            self._fragments += frame.data
            if frame.fin:
                message = bytes(self._fragments)
                self._fragments.clear()
                self._obey(self.session.receive(message))
                self.exchange.hub.join(self)

    def _obey(self, answer: Answer) -> None:
        if answer.text is not None:
            self.push(text_frame(answer.text))
            self.flush()
        if answer.close is not None:
            self.close(answer.close, answer.reason)

    def _send_protocol_bytes(self) -> None:
        for chunk in self._http.data_to_send():
            if self.is_stalled or self._transport.is_closing():
                return
            if chunk and self.throttle is not None:
                self.push(chunk)  # behind what waits: a throttled frame may be half sent
                self.flush()
            elif chunk:
                self._transport.write(chunk)
            else:
                self.throttle = None
                self.flush()
                self._is_ending = True
                self._transport.close()

    def _trickle(self) -> None:
        """Send what the throttle allows in one step and come back for the rest."""
        if self._throttle_timer is not None or not self._outbox or self._is_ending:
            return
        budget = max(1, int((self.throttle or 0) * _THROTTLE_STEP_S))
        while budget and self._outbox:
            part = self._outbox.popleft()
            if len(part) > budget:
                self._outbox.appendleft(part[budget:])
            self._transport.write(part[:budget])
            self._outbox_bytes -= min(budget, len(part))
            budget -= min(budget, len(part))
        # Also with nothing left: what comes within this step waits for the next.
        self._throttle_timer = asyncio.get_running_loop().call_later(_THROTTLE_STEP_S, self._trickle_on)

    def _trickle_on(self) -> None:
        self._throttle_timer = None
        self.flush()


def _phrase(status: int) -> str:
    return "I'm a teapot" if status == 418 else HTTPStatus(status).phrase


def facts_of(connection: Connection, now_s: float) -> dict[str, object]:
    """Return what `/status` says of a WebSocket."""
    return {
        "category": connection.session.route.category,
        "streams": len(connection.session.streams),
        "age_s": round(now_s - connection.born_s, 3),
        "backlog_bytes": connection.backlog,
        "stalled": connection.is_stalled,
    }
