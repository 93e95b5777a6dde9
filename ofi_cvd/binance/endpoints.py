"""Where the venue is: hosts, routed roots and the connections a recording needs.

See docs/protocol.md#routes, docs/protocol.md#connection-limits.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ofi_cvd.binance.wire import Market, Route, route, stream_name
from ofi_cvd.errors import InputError, UsageError

STREAMS_PER_CONNECTION = 200  # the venue allows 1,024; the names stand in the URL, and long request lines are refused
_WS = {"usdm": "wss://fstream.binance.com", "spot": "wss://data-stream.binance.vision"}
_REST = {"usdm": "https://fapi.binance.com", "spot": "https://data-api.binance.vision"}


@dataclass(frozen=True)
class Endpoint:
    """The two roots of a venue.

    Attributes:
        ws: the WebSocket root, without a path.
        rest: the REST root, without a path.
        loopback: whether it is on this machine; only then is plain text allowed, and no proxy is asked.
    """

    ws: str
    rest: str
    loopback: bool


@dataclass(frozen=True)
class ConnectionPlan:
    """One connection to be: its streams are all served on `route`, and its URL subscribes to them."""

    route: Route | None
    url: str
    streams: tuple[tuple[str, str], ...]


def resolve(endpoint: str, market: Market) -> Endpoint:
    """Return the roots of `binance`, or of an exchange's http URL.

    Raises:
        InputError: plain http to a host that is not this machine: the data could be forged on the way.
    """
    if endpoint == "binance":
        return Endpoint(_WS[market], _REST[market], loopback=False)
    parts = urlsplit(endpoint)
    secure = parts.scheme == "https"
    loopback = is_loopback(parts.hostname or "")
    if not secure and not (parts.scheme == "http" and loopback):
        raise InputError(
            f"ENDPOINT: expected https for a host that is not this machine, found {endpoint!r}: "
            "plain http and ws are allowed on loopback addresses only"
        )
    return Endpoint(f"{'wss' if secure else 'ws'}://{parts.netloc}", f"{parts.scheme}://{parts.netloc}", loopback)


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine by name or number; no name but `localhost` is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def stream_url(endpoint: Endpoint, market: Market, streams: Sequence[tuple[str, str]]) -> str:
    """Return the combined-stream URL that subscribes to `streams`, pairs of symbol and stream.

    Raises:
        UsageError: the streams belong to several roots: the venue would acknowledge and then stay silent.
    """
    routes = {route(stream, market) for _, stream in streams}
    if len(routes) != 1:
        names = ", ".join(stream_name(*pair) for pair in streams)
        raise UsageError(f"expected streams of one route in one connection, found {sorted(map(str, routes))}: {names}")
    root = routes.pop()
    path = f"/{root}/stream" if root else "/stream"
    return f"{endpoint.ws}{path}?streams={'/'.join(stream_name(*pair) for pair in streams)}"


def plan_connections(
    endpoint: Endpoint, market: Market, symbols: Iterable[str], streams: Iterable[str]
) -> list[ConnectionPlan]:
    """Return the connections that carry every stream of every symbol, grouped by route, in a stable order."""
    pairs = [(symbol, stream) for stream in dict.fromkeys(streams) for symbol in dict.fromkeys(symbols)]
    plans = []
    for root in dict.fromkeys(route(stream, market) for _, stream in pairs):
        mine = [pair for pair in pairs if route(pair[1], market) == root]
        for start in range(0, len(mine), STREAMS_PER_CONNECTION):
            part = tuple(mine[start : start + STREAMS_PER_CONNECTION])
            plans.append(ConnectionPlan(root, stream_url(endpoint, market, part), part))
    return plans
