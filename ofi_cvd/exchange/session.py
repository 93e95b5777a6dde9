"""What one WebSocket client has asked for, and what the exchange answers; no sockets, no clock.

The answers follow the live-subscribe page: an acknowledgement validates
nothing, has neither `stream` nor `data`, and invalid JSON ends the connection.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ofi_cvd.exchange.routes import MAX_STREAMS, Route, Venue

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
MESSAGES_PER_SECOND = {"usdm": 10, "spot": 5}
_POLICY_VIOLATION = 1008


@dataclass(frozen=True, slots=True)
class Answer:
    """A text to send (None: nothing) and the code to close with afterwards (None: stay open)."""

    text: bytes | None = None
    close: int | None = None
    reason: str = ""


class Session:
    """Subscriptions and properties of one connection.

    Attributes:
        combined: whether frames are wrapped as `{"stream":...,"data":...}`.
        streams: every subscription in order, also those that will never deliver.
        muted: patterns of streams that a fault has silenced here.
    """

    def __init__(self, route: Route, venue: Venue) -> None:
        self.route = route
        self.combined = route.combined
        self.streams: dict[str, None] = dict.fromkeys(route.streams)
        self.muted: set[str] = set()
        self._limit = MESSAGES_PER_SECOND[venue]
        self._arrivals: deque[float] = deque()

    @property
    def audible(self) -> list[str]:
        """The subscriptions that the route serves; the others were acknowledged and stay silent."""
        return [stream for stream in self.streams if self.route.serves(stream) and not self._is_muted(stream)]

    def concerns(self, pattern: str) -> bool:
        """Return whether a subscription matches `pattern` (`*` stands for anything); `*` alone matches everyone."""
        return pattern == "*" or any(fnmatchcase(stream, pattern) for stream in self.streams)

    def _is_muted(self, stream: str) -> bool:
        return any(fnmatchcase(stream, pattern) for pattern in self.muted)

    @property
    def has_too_many_streams(self) -> bool:
        """Whether the URL asked for more streams than a connection may have."""
        return len(self.streams) > MAX_STREAMS

    def count(self, now_s: float) -> Answer:
        """Count an incoming frame (JSON, ping or pong); too many within a second end the connection."""
        self._arrivals.append(now_s)
        while self._arrivals[0] <= now_s - 1.0:
            self._arrivals.popleft()
        if len(self._arrivals) > self._limit:
            return Answer(close=_POLICY_VIOLATION, reason="Too many requests")
        return Answer()

    def receive(self, message: bytes) -> Answer:
        """Return the answer to a text message and remember what it changed."""
        try:
            request = json.loads(message)
        except ValueError:
            text = _dump({"error": {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}})
            return Answer(text, close=_POLICY_VIOLATION, reason="Invalid request")
        return Answer(self._answer(request))

    def _answer(self, request: object) -> bytes:
        if not isinstance(request, dict):
            return _error(2, "Invalid request: expected an object", None)
        ident, method, params = request.get("id"), request.get("method"), request.get("params", [])
        if fault := _shape_fault(ident, method, params):
            return _error(2, f"Invalid request: {fault}", ident)
        if method in {"SUBSCRIBE", "UNSUBSCRIBE"}:
            return self._change(method, params, ident)
        if method == "LIST_SUBSCRIPTIONS":
            return _result(list(self.streams), ident)
        return self._property(str(method), params, ident)

    def _change(self, method: str, params: list[object], ident: object) -> bytes:
        names = [name for name in params if isinstance(name, str)]
        if len(names) != len(params):
            return _error(2, "Invalid request: stream names must be strings", ident)
        if method == "UNSUBSCRIBE":
            for name in names:
                self.streams.pop(name, None)
            return _result(None, ident)
        if len(self.streams | dict.fromkeys(names)) > MAX_STREAMS:
            return _error(2, f"Invalid request: more than {MAX_STREAMS} streams", ident)
        self.streams.update(dict.fromkeys(names))
        return _result(None, ident)

    def _property(self, method: str, params: list[object], ident: object) -> bytes:
        wanted = 2 if method == "SET_PROPERTY" else 1
        if len(params) > wanted:
            return _error(2, "Invalid request: too many parameters", ident)
        if not params or not isinstance(params[0], str):
            return _error(2, "Invalid request: property name must be a string", ident)
        if params[0] != "combined":
            return _error(0, "Unknown property", ident)
        if method == "GET_PROPERTY":
            return _result(self.combined, ident)
        value = params[1] if len(params) == wanted else None
        if not isinstance(value, bool):
            return _error(1, "Invalid value type: expected Boolean", ident)
        self.combined = value
        return _result(None, ident)


def _shape_fault(ident: object, method: object, params: object) -> str | None:
    if not (ident is None or isinstance(ident, str) or _is_unsigned(ident)):
        return "request ID must be an unsigned integer"
    if method is None:
        return "missing field `method` at line 1 column 1"
    if method not in METHODS:
        return f"unknown variant `{method}`, expected one of " + ", ".join(f"`{name}`" for name in METHODS)
    return None if isinstance(params, list) else "params must be an array"


def _is_unsigned(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _result(value: object, ident: object) -> bytes:
    return _dump({"result": value, "id": ident})


def _error(code: int, message: str, ident: object) -> bytes:
    return _dump({"code": code, "msg": message} | ({} if ident is None else {"id": ident}))


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
