"""Request weight and keep-alive of one client; no sockets, no clock of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

MINUTE_MS = 60_000
BAN_AFTER = 10
"""Requests after the first 429 of a minute that turn it into a ban; the real figure is not published."""
BAN_S = 120
"""Shortest ban of the real exchange: two minutes."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome for one request: the status (200: go on), the weight used this minute, and how long to stay away."""

    status: int
    used: int
    retry_after_s: int = 0


@dataclass(slots=True)
class _Account:
    minute: int = -1
    used: int = 0
    refused: int = 0
    banned_until_ms: int = 0


@dataclass(slots=True)
class WeightLimiter:
    """Weight per calendar minute and address: 429 above the limit, 418 for those who go on regardless."""

    per_minute: int
    _accounts: dict[str, _Account] = field(default_factory=dict)

    def charge(self, address: str, weight: int, now_ms: int) -> Verdict:
        """Charge `weight` to `address`."""
        account = self._accounts.setdefault(address, _Account())
        if account.minute != now_ms // MINUTE_MS:
            account.minute, account.used, account.refused = now_ms // MINUTE_MS, 0, 0
        account.used += weight
        if now_ms < account.banned_until_ms:
            return Verdict(418, account.used, -(-(account.banned_until_ms - now_ms) // 1000))
        if account.used <= self.per_minute:
            return Verdict(200, account.used)
        account.refused += 1
        if account.refused > BAN_AFTER:
            account.banned_until_ms = now_ms + BAN_S * 1000
            return Verdict(418, account.used, BAN_S)
        return Verdict(429, account.used, -(-(MINUTE_MS - now_ms % MINUTE_MS) // 1000))


@dataclass(slots=True)
class KeepAlive:
    """The server's pings: sent every so often; one that stays unanswered for too long ends the connection.

    Unsolicited pongs are allowed and prove nothing (docs/protocol.md#connection-limits).
    """

    every_s: float
    within_s: float
    next_s: float
    _waiting: tuple[bytes, float] | None = None

    def due(self, now_s: float) -> bytes | None:
        """Return the payload of a ping that should be sent now."""
        if now_s < self.next_s:
            return None
        self.next_s = now_s + self.every_s
        payload = b"%d" % int(now_s * 1000)
        if self._waiting is None:
            self._waiting = (payload, now_s)
        else:  # the deadline runs from the first unanswered ping, an answer to the newest clears it
            self._waiting = (payload, self._waiting[1])
        return payload

    def pong(self, payload: bytes) -> None:
        """Note a pong."""
        if self._waiting is not None and self._waiting[0] == payload:
            self._waiting = None

    def is_dead(self, now_s: float) -> bool:
        """Return whether the client has left a ping unanswered for too long."""
        return self._waiting is not None and now_s - self._waiting[1] > self.within_s
