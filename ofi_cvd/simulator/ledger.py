"""The ledger of a simulated recording: two connections, an honest clock, a clean end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.spool.ledger import record_line

if TYPE_CHECKING:
    from collections.abc import Iterable

CLOCK_EVERY_MS = 60_000

CONNECTIONS = {
    "aggTrade": "m1",
    "trade": "p1",
    "bookTicker": "p1",
    "depth5@100ms": "p1",
    "depth10@100ms": "p1",
    "depth20@100ms": "p1",
    "depth@100ms": "p1",
    "depthSnapshot": "rest",
    "markPrice@1s": "m1",
    "forceOrder": "m1",
}
"""The connection that carries each stream: market and public are separate routes."""


def ledger_text(
    start_ms: int, stop_ms: int, *, seed: int, conns: Iterable[str], opens: bool = False, closes: bool = False
) -> bytes:
    """Return the ledger of the part `[start_ms, stop_ms)` of an hour.

    A `clock` record every minute; `connect` records first if the recording
    `opens` here, `shutdown` last if it `closes` here.
    """
    rng = np.random.default_rng([seed, start_ms // HOUR_MS])
    lines = []
    if opens:
        lines += [
            record_line("connect", recv_ns=start_ms * 1_000_000 + i, conn=conn)
            for i, conn in enumerate(sorted(set(conns) - {"rest"}))
        ]
    for at_ms in range(start_ms + 1_000, stop_ms, CLOCK_EVERY_MS):
        rtt_ms = round(float(12.0 * np.exp(0.3 * rng.standard_normal())), 3)
        offset_ms = round(float(0.8 * rng.standard_normal()), 3)
        lines.append(record_line("clock", recv_ns=at_ms * 1_000_000, offset_ms=offset_ms, rtt_ms=rtt_ms))
    if closes:
        lines.append(record_line("shutdown", recv_ns=stop_ms * 1_000_000 - 1, reason="simulated recording ends"))
    return b"".join(lines)
