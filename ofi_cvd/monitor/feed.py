"""From what the rooms count to the metrics' names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.monitor.metrics import Metrics

TRADE_STREAMS = frozenset({"aggTrade", "trade"})


class RecorderFeed:
    """Hands a recorder's counters to the metrics, as often as one likes.

    Args:
        metrics: where they go.
        silence_secs: deadline of streams whose own is not known yet (`SILENCE_SECS`).
        asked: the `(symbol, stream)` that the recorder asks for.
    """

    def __init__(self, metrics: Metrics, silence_secs: float, asked: Collection[tuple[str, str]] = ()) -> None:
        self._metrics, self._silence_secs, self._asked = metrics, silence_secs, tuple(asked)
        self._unrepairable: dict[str, int] = {}
        self._unrepaired_gaps: dict[str, int] = {}

    def update(self, stats: RecorderStats, deadlines: Mapping[tuple[str, str], float] | None = None) -> None:
        """Take the recorder's counters as they are now."""
        show = self._metrics.set
        for (symbol, stream), one in list(stats.streams.items()):
            labels = {"symbol": symbol, "stream": stream}
            show("recv_rate_tps", one.rate, **labels)
            show("dedup_hits_total", one.duplicates, **labels)
            show("dropped_frames_total", one.dropped, **labels)
            for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
                raw = one.latency_ms.quantile(q)
                show(f"latency_raw_ms_{name}", raw, **labels)
                show(f"latency_ms_{name}", corrected(raw, stats.clock_offset_ms), **labels)
            if one.silence_s is not None:
                show("stream_silence_sec", one.silence_s, **labels, kind="now")
            known = one.deadline_s or self._silence_secs
            deadline = (deadlines or {}).get((symbol, stream), known)
            show("stream_silence_sec", deadline, **labels, kind="deadline")
            if stream in TRADE_STREAMS:
                show("trade_gaps_total", one.gaps, symbol=symbol, kind="found")
                show("trade_gaps_total", self._given_up(symbol, one.unrepairable), symbol=symbol, kind="unrepaired")
                show("trade_ids_repaired_total", one.repaired, symbol=symbol)
                show("trade_ids_open", max(0, one.missing - one.repaired - one.unrepairable), symbol=symbol)
            else:
                show("book_breaks_total", one.breaks, **labels)
        show("ws_reconnects_total", stats.reconnects)
        show("write_errors_total", stats.write_errors, kind="spool")
        show("spool_lag_sec", stats.spool_lag_s)
        show("clock_offset_ms", stats.clock_offset_ms)

    def unheard(self, stats: RecorderStats, asked_for_s: float) -> None:
        """Show streams that never spoke as silent for `asked_for_s`: as long as they have been asked for.

        Args:
            stats: the recorder's counters, or none yet of a recorder that cannot start.
            asked_for_s: seconds since the recorder was started.
        """
        for symbol, stream in self._asked:
            one = stats.streams.get((symbol, stream))
            if one is None or one.silence_s is None:
                labels = {"symbol": symbol, "stream": stream}
                self._metrics.set("stream_silence_sec", asked_for_s, **labels, kind="now")
                self._metrics.set("stream_silence_sec", self._silence_secs, **labels, kind="deadline")

    def _given_up(self, symbol: str, ids: int) -> int:
        """Return how many times ids were given up: the recorder counts ids, an alert asks for gaps."""
        grown = ids > self._unrepairable.get(symbol, 0)
        self._unrepairable[symbol] = ids
        self._unrepaired_gaps[symbol] = self._unrepaired_gaps.get(symbol, 0) + grown
        return self._unrepaired_gaps[symbol]


def corrected(raw_ms: float | None, offset_ms: float | None) -> float | None:
    """Return a latency by the exchange's clock, as the gate judges it; None while either is not known.

    Example:
        >>> corrected(40.0, -3.5), corrected(40.0, None)
        (36.5, None)
    """
    return None if raw_ms is None or offset_ms is None else raw_ms + offset_ms


def build_figures(metrics: Metrics, *, lag_s: float | None, flush_s: float | None, write_errors: int) -> None:
    """Take what the builder knows of itself: how far behind it is, how long it took, what failed."""
    metrics.set("build_lag_sec", lag_s)
    metrics.set("parquet_flush_sec", flush_s, kind="slice")
    metrics.set("write_errors_total", write_errors, kind="parquet")


def dataset_figures(metrics: Metrics, winsor: Mapping[str, Mapping[str, Any]]) -> None:
    """Take figures of the published rows: the answer of `sql/winsor.sql` by symbol."""
    for symbol, row in winsor.items():
        metrics.set("cvd_scale_median", row["scale_median"], symbol=symbol)
        metrics.set("cvd_floor_hit_rate", row["floor_hit_rate"], symbol=symbol)
