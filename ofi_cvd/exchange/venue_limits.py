"""The numbers of a venue: keep-alive, life, limits. Sources: docs/protocol.md#connection-limits, docs/protocol.md#rest."""

from __future__ import annotations

from dataclasses import dataclass

from ofi_cvd.exchange.routes import Venue


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueLimits:
    """What the exchange grants a client.

    Attributes:
        venue: `usdm` or `spot`.
        ping_every_s: period of the server's pings.
        pong_within_s: a ping unanswered for so long ends the connection.
        life_s: age at which the exchange ends a connection.
        weight_per_minute: REST request weight for one address.
        queue_bytes: unsent bytes at which a slow consumer is cut off.
    """

    venue: Venue = "usdm"
    ping_every_s: float = 180.0
    pong_within_s: float = 600.0
    life_s: float = 86_400.0
    weight_per_minute: int = 2400
    queue_bytes: int = 64 * 1024 * 1024

    @property
    def prefix(self) -> str:
        """The REST root of the venue."""
        return "/fapi/v1" if self.venue == "usdm" else "/api/v3"


def limits_of(venue: Venue) -> VenueLimits:
    """Return the real exchange's figures for `venue`."""
    if venue == "usdm":
        return VenueLimits()
    return VenueLimits(venue="spot", ping_every_s=20.0, pong_within_s=60.0, weight_per_minute=6000)
