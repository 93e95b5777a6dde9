"""What the parts of a running exchange ask of each other: a socket's host, and what a fault does to a socket."""

from __future__ import annotations

from collections import Counter
from typing import Protocol, TypeVar

from websockets.http11 import Request

from ofi_cvd.exchange.hub import Hub, Listener
from ofi_cvd.exchange.venue_limits import VenueLimits

SocketT_contra = TypeVar("SocketT_contra", contravariant=True)


class SocketHost(Protocol[SocketT_contra]):
    """The exchange, as one of its sockets sees it."""

    @property
    def limits(self) -> VenueLimits:
        """Keep-alive, life and limits."""

    @property
    def hub(self) -> Hub:
        """Who listens to what."""

    @property
    def counters(self) -> Counter[str]:
        """What happened, by name."""

    def now_s(self) -> float:
        """Return seconds since the exchange started."""

    def adopt(self, connection: SocketT_contra) -> None:
        """Take up a new socket."""

    def welcome(self, connection: SocketT_contra) -> None:
        """Take up a socket that has become a WebSocket."""

    def mark_dirty(self, connection: SocketT_contra) -> None:
        """Remember to flush the socket when the market was sent on."""

    def forget(self, connection: SocketT_contra) -> None:
        """Let go of a closed socket."""

    def serve_rest(self, connection: SocketT_contra, request: Request, address: str, *, keep_alive: bool) -> None:
        """Answer a plain HTTP request."""


class FaultTarget(Listener, Protocol):
    """A socket, as a fault sees it."""

    is_stalled: bool
    throttle: int | None

    def reset(self) -> None:
        """Drop the socket with a TCP reset."""

    def close(self, code: int, reason: str = "") -> None:
        """Close cleanly."""

    def stall(self) -> None:
        """Become half-open."""

    def announce(self, payload: bytes, stream: str) -> None:
        """Send a message of the exchange itself."""
