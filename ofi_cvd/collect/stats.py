"""Plain counters of a running recorder, for the status panel, the log and whoever exports metrics.

Written by the recorder alone; reading them from another thread gives figures that may be a moment apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field

WINDOW_S = 60.0
_LIMIT_MS = 100_000


class Quantiles:
    """Quantiles of whole milliseconds over the last one to two minutes; exact below 1 s, within 1 % above.

    Bounded in memory: values are counted in bins and clamped to +-100 s.
    """

    def __init__(self) -> None:
        self._now: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self._since = 0.0

    def add(self, ms: int, count: int = 1) -> None:
        """Count one value."""
        if not -1000 < ms < 1000:
            ms = max(-_LIMIT_MS, min(_LIMIT_MS, ms))
            ms -= ms % 10
        self._now[ms] = self._now.get(ms, 0) + count

    def turn(self, now: float) -> None:
        """Forget the window before last, if a window has passed at second `now`."""
        if now - self._since >= WINDOW_S:
            self._before, self._now, self._since = self._now, {}, now

    def quantile(self, q: float) -> float | None:
        """Return the `q` quantile in ms; None without values."""
        counts = self._before.copy()
        for ms, count in list(self._now.items()):
            counts[ms] = counts.get(ms, 0) + count
        left = q * sum(counts.values())
        for ms in sorted(counts):
            left -= counts[ms]
            if left <= 0:
                return float(ms)
        return None


@dataclass
class StreamStats:
    """Counters of one stream of one symbol.

    Attributes:
        received: frames stored or handed to storage.
        duplicates: exact repetitions of an id seen before, not stored (`dedup_hits_total`).
        differing: frames with the id of another and other content; stored.
        dropped: frames lost to a full queue or a refusing disk (`dropped_frames_total`).
        unreadable: frames of this stream that no reader would accept, or whose id is too far ahead to be believed;
            stored, but their ids do not count as seen.
        late: ids that came out of order.
        gaps: id_gaps found; `missing` the trade ids in them.
        repaired: trade ids fetched later; `unrepairable`, those that could not be.
        breaks: id_gaps of a book stream.
        silence_s: seconds since the last frame; None before the first.
        deadline_s: after how many silent seconds the stream is suspect; None before the first second.
        rate: frames a second over the last tick of about a second.
        latency_ms: receipt minus the venue's push time, by our clock (may be negative).
        last_frame: the frame stored last, of a stream of trades; empty before the first.
    """

    received: int = 0
    duplicates: int = 0
    differing: int = 0
    dropped: int = 0
    unreadable: int = 0
    late: int = 0
    gaps: int = 0
    missing: int = 0
    repaired: int = 0
    unrepairable: int = 0
    open_ids: int = 0
    breaks: int = 0
    silence_s: float | None = None
    deadline_s: float | None = None
    rate: float = 0.0
    latency_ms: Quantiles = field(default_factory=Quantiles)
    last_frame: bytes = b""


@dataclass
class RecorderStats:
    """Everything the recorder counts.

    Attributes:
        streams: by (symbol, stream).
        connections: open now.
        reconnects: connections opened after the first of each group, other than planned rotations.
        rotations: completed hand-overs.
        silent: streams found silent past their deadline.
        unroutable: frames of no stream of ours, garbage among them.
        write_errors: refusals of the disk.
        retained_bytes: kept in memory because the disk refuses.
        spool_lag_s: age of the oldest frame not yet durable.
        durable_ms: from socket to fsync.
        clock_offset_ms: the exchange's clock minus ours; `clock_rtt_ms` the round trip it was measured with.
        queue_frames: frames waiting for the writer.
    """

    streams: dict[tuple[str, str], StreamStats] = field(default_factory=dict)
    connections: int = 0
    reconnects: int = 0
    rotations: int = 0
    silent: int = 0
    unroutable: int = 0
    write_errors: int = 0
    retained_bytes: int = 0
    spool_lag_s: float = 0.0
    durable_ms: Quantiles = field(default_factory=Quantiles)
    clock_offset_ms: float | None = None
    clock_rtt_ms: float | None = None
    queue_frames: int = 0

    def stream(self, symbol: str, stream: str) -> StreamStats:
        """Return the counters of one stream, created at zero."""
        return self.streams.setdefault((symbol, stream), StreamStats())

    def total(self, counter: str) -> int:
        """Return the sum of one counter over all streams."""
        return sum(int(getattr(stats, counter)) for stats in self.streams.values())

    def facts(self) -> dict[str, object]:
        """Return the totals worth a log line."""
        totals = ("received", "duplicates", "gaps", "missing", "repaired", "unrepairable", "breaks", "dropped")
        counts: dict[str, object] = {name: self.total(name) for name in totals}
        return counts | {
            "connections": self.connections,
            "reconnects": self.reconnects,
            "rotations": self.rotations,
            "unroutable": self.unroutable,
            "write_errors": self.write_errors,
            "spool_lag_s": round(self.spool_lag_s, 3),
            "durable_ms_p50": self.durable_ms.quantile(0.5),
            "durable_ms_p99": self.durable_ms.quantile(0.99),
        }
