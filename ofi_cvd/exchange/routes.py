"""Paths and stream names: which route serves which streams.

USD-M streams are split over `/public` and `/market` since 2026; the unrouted
roots behave as `/public`.  A stream behind the wrong route is acknowledged and
silent, and so is a stream that does not exist (docs/protocol.md#routes, docs/protocol.md#framing).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

Venue: TypeAlias = Literal["usdm", "spot"]
Category: TypeAlias = Literal["public", "market", "private", "all"]

MAX_STREAMS = 1024
"""Streams that one connection may listen to (docs/protocol.md#connection-limits)."""

_PUBLIC_KINDS = ("bookTicker", "depth", "rpiDepth", "trade")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a connection came in: what it may hear, how frames are wrapped, what the URL subscribed."""

    category: Category
    combined: bool
    streams: tuple[str, ...]

    def serves(self, stream: str) -> bool:
        """Return whether data of `stream` flows through this route."""
        return self.category in {"all", category_of(stream)}


def category_of(stream: str) -> Category:
    """Return the USD-M root that serves `stream`; `@trade` is served on `/public`.

    See docs/protocol.md#undocumented-streams.
    """
    kind = stream.removeprefix("!").partition("@")[2] or stream.removeprefix("!")
    head = kind.partition("@")[0]
    is_public = head in _PUBLIC_KINDS or (head.startswith("depth") and head.removeprefix("depth").isdigit())
    return "public" if is_public else "market"


def route_for(target: str, venue: Venue) -> Route | None:
    """Return the route of a request target such as `/market/stream?streams=a/b`; None where there is none.

    Raw paths take streams in the path and no query; combined paths take them in `streams=`.
    """
    parts = urlsplit(target)
    names = [unquote(name) for name in parts.path.split("/") if name]
    category: Category = "all" if venue == "spot" else "public"
    if venue == "usdm" and names and names[0] in {"public", "market", "private"}:
        category = names.pop(0)  # type: ignore[assignment]  # the set above is the literal's
    if not names or names[0] not in {"ws", "stream"}:
        return None
    if names[0] == "ws":
        return None if parts.query and venue == "usdm" else Route(category, combined=False, streams=tuple(names[1:]))
    query = parse_qs(parts.query).get("streams", [""])[0]
    listed = [name for name in query.split("/") if name]
    return None if names[1:] else Route(category, combined=True, streams=tuple(listed))
