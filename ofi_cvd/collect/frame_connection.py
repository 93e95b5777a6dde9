"""A WebSocket connection that hands over whole text frames as they leave the socket, with little work per frame.

The library opens, answers pings, closes and judges everything unusual. Only the usual case of a data stream, a whole
unmasked text frame, is cut out of the received bytes here: the library's general parser costs ten times as much, and
at thousands of frames a second that is the difference between following the market and lagging behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import SecurityError
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State

from ofi_cvd.errors import InputError

WHOLE_TEXT = 0x81  # FIN and opcode 1, no extension bits
Sink = Callable[[list[bytes]], None]


class FrameConnection(ClientConnection):
    """A client connection whose messages go to `sink`, in order, in lists; `recv` has nothing to give.

    Args:
        protocol: the library's sans-IO half.
        sink: called with the payloads of whole text or binary messages, straight from the socket's callback.
        options: for the library.
    """

    def __init__(self, protocol: ClientProtocol, *, sink: Sink, **options: object) -> None:
        super().__init__(protocol, **options)  # type: ignore[arg-type]  # handed through as connect() made them
        self._sink = sink
        self._max_size = protocol.max_message_size or 2**63
        self._head = b""
        self._rest = b""
        self._parts: list[bytes] = []
        self._cuts = False  # whether we cut frames ourselves: from the end of a successful handshake on

    def data_received(self, data: bytes) -> None:
        """Cut whole text frames out of `data`; everything else is the library's."""
        if self._cuts:
            self._cut(self._rest + data if self._rest else data)
        elif self.response is not None:
            super().data_received(data)
        else:
            self._finish_handshake(data)

    def process_event(self, event: object) -> None:
        """Collect the messages that took the library's way; leave the rest to it."""
        if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._parts.append(bytes(event.data))
            if event.fin:
                message, self._parts = b"".join(self._parts), []
                self._sink([message])
        elif isinstance(event, Frame | Response):
            super().process_event(event)

    def _finish_handshake(self, data: bytes) -> None:
        """Give the library the response, and keep what follows it in the same packet."""
        self._head += data
        end = self._head.find(b"\r\n\r\n") + 4
        if end < 4:
            data, rest = b"", b""
            if len(self._head) > 65_536:  # no response of ours: the library says what is wrong with it
                data, self._head = self._head, b""
        else:
            data, rest, self._head = self._head[:end], self._head[end:], b""
        if data:
            super().data_received(data)
        self._cuts = self.protocol.state is State.OPEN
        if rest:
            self.data_received(rest)

    def _cut(self, data: bytes) -> None:
        frames: list[bytes] = []
        start, size = 0, len(data)
        while size - start >= 2:
            length, payload = data[start + 1], start + 2
            if length == 126:
                payload = start + 4
                length = data[start + 2] << 8 | data[start + 3] if payload <= size else size
            elif length >= 127:
                payload, length = start + 10, self._long_length(data, start)
            end = payload + length
            if length > self._max_size and payload <= size:
                self._cuts = False  # the library refuses it and closes the connection
                end = size
            elif end > size:
                break
            if data[start] == WHOLE_TEXT and not self._parts and self._cuts:
                frames.append(data[payload:end])
            else:
                if frames:
                    self._sink(frames)
                    frames = []
                super().data_received(data[start:end])
                if self.protocol.state is not State.OPEN:
                    self._leave_to_library(data[end:])
                    return
            start = end
        self._rest = data[start:]
        if frames:
            self._sink(frames)

    def _leave_to_library(self, data: bytes) -> None:
        """Give up cutting: the connection is closing."""
        self._cuts, self._rest = False, b""
        if data:
            super().data_received(data)

    def _long_length(self, data: bytes, start: int) -> int:
        """Return a 64-bit length; for a masked frame, which a server must not send, one that is refused."""
        return int.from_bytes(data[start + 2 : start + 10]) if data[start + 1] == 127 else self._max_size + 1


def ending(connection: FrameConnection) -> str:
    """Return how a connection ended: what the venue said, else what we objected to, else that it was lost."""
    protocol = connection.protocol
    if protocol.close_rcvd is not None:
        return f"received {protocol.close_rcvd}"
    return f"sent {protocol.close_sent}" if protocol.close_sent is not None else "lost without a word"


class FrameConnect(connect):
    """`connect` that follows no redirect: a recording comes from where it was asked from."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Refuse."""
        verdict = super().process_redirect(exc)
        return verdict if isinstance(verdict, Exception) else SecurityError(f"refused to be redirected to {verdict}")


async def open_connection(
    url: str, sink: Sink, *, max_size: int, loopback: bool, open_timeout: float = 5.0, close_timeout: float = 1.0
) -> FrameConnection:
    """Connect and return the connection; frames go to `sink` from the first one on.

    TLS certificates and host names are verified. The library's keep-alive is off: it would close a connection that
    delivers data when a pong is late.

    Raises:
        InputError: plain ws to a host that is not this machine.
        OSError, TimeoutError, websockets.exceptions.WebSocketException: the connection could not be opened.
    """
    if not url.startswith("wss://") and not loopback:
        raise InputError(f"expected wss for a host that is not this machine, found {url!r}")
    connection = await FrameConnect(
        url,
        compression=None,
        max_size=max_size,
        ping_interval=None,
        open_timeout=open_timeout,
        close_timeout=close_timeout,
        proxy=None if loopback else True,
        create_connection=partial(FrameConnection, sink=sink),  # type: ignore[arg-type]  # a factory will do
    )
    if not isinstance(connection, FrameConnection):
        raise TypeError("expected our own connection")
    return connection
