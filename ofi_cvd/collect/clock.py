"""The exchange's clock against ours, once a minute (reported latencies of seconds were clock offsets).

See docs/protocol.md#behaviour-to-expect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from ofi_cvd.binance.rest import RestClient
from ofi_cvd.errors import ExchangeError

SAMPLES = 5


@dataclass(frozen=True)
class ClockReading:
    """`offset_ms`: the exchange's clock minus ours; `rtt_ms`: the round trip; both medians of a few samples."""

    offset_ms: float
    rtt_ms: float


async def read_clock(rest: RestClient, clock_ns: Callable[[], int], samples: int = SAMPLES) -> ClockReading:
    """Ask the venue for its time and return how far it is from ours.

    The venue's answer is taken to belong to the middle of the round trip.

    Raises:
        ExchangeError: not one usable answer.
    """
    offsets, trips = [], []
    failure: ExchangeError | None = None
    for _ in range(samples):
        before_ns = clock_ns()
        try:
            server_ms = await rest.server_time_ms()
        except ExchangeError as error:
            failure = error
            break
        after_ns = clock_ns()
        trips.append((after_ns - before_ns) / 1e6)
        offsets.append(server_ms - (before_ns + after_ns) / 2e6)
    if not offsets:
        raise failure or ExchangeError("expected at least one sample")
    return ClockReading(round(median(offsets), 3), round(median(trips), 3))
