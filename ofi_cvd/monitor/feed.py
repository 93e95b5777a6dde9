"""From what the rooms count to the metrics' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.monitor.metrics import Metrics

TRADE_STREAMS = frozenset({"aggTrade", "trade"})


class RecorderFeed:
    """Hands a recorder's counters to the metrics, as often as one likes.

    Args:
        metrics: where they go.
        silence_secs: deadline of streams whose own is not known yet (`SILENCE_SECS`).
    """

    def __init__(self, metrics: Metrics, silence_secs: float) -> None:
        self._metrics, self._silence_secs = metrics, silence_secs
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
            for name, q in (("latency_ms_p50", 0.5), ("latency_ms_p90", 0.9), ("latency_ms_p99", 0.99)):
                show(name, one.latency_ms.quantile(q), **labels)
            show("stream_silence_sec", one.silence_s, **labels, kind="now")
            known = one.deadline_s or self._silence_secs
            deadline = (deadlines or {}).get((symbol, stream), known)
            show("stream_silence_sec", deadline, **labels, kind="deadline")
            if stream in TRADE_STREAMS:
                show("trade_gaps_total", one.gaps, symbol=symbol, kind="found")
                show("trade_gaps_total", self._given_up(symbol, one.unrepairable), symbol=symbol, kind="unrepaired")
                show("trade_ids_repaired_total", one.repaired, symbol=symbol)
            else:
                show("book_breaks_total", one.breaks, **labels)
        show("ws_reconnects_total", stats.reconnects)
        show("write_errors_total", stats.write_errors, kind="spool")
        show("spool_lag_sec", stats.spool_lag_s)
        show("clock_offset_ms", stats.clock_offset_ms)

    def _given_up(self, symbol: str, ids: int) -> int:
        """Return how many times ids were given up: the recorder counts ids, an alert asks for gaps."""
        grown = ids > self._unrepairable.get(symbol, 0)
        self._unrepairable[symbol] = ids
        self._unrepaired_gaps[symbol] = self._unrepaired_gaps.get(symbol, 0) + grown
        return self._unrepaired_gaps[symbol]


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
