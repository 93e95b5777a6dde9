"""The metrics: names, kinds and labels in one table; values are plain numbers that the run hands in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry


@dataclass(frozen=True)
class Definition:
    """One metric: what it counts and which labels tell its series apart."""

    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One value of one series at one moment; labels are sorted pairs."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


METRICS: Final[dict[str, Definition]] = {
    "recv_rate_tps": Definition("gauge", "Frames received per second.", ("symbol", "stream")),
    "ws_reconnects_total": Definition("counter", "Connections opened again, planned rotations aside."),
    "dedup_hits_total": Definition("counter", "Frames received more than once and stored once.", ("symbol", "stream")),
    "latency_ms_p50": Definition("gauge", "Median latency, corrected by the clock offset.", ("symbol", "stream")),
    "latency_ms_p90": Definition("gauge", "90th percentile, corrected by the clock offset.", ("symbol", "stream")),
    "latency_ms_p99": Definition("gauge", "99th percentile, corrected by the clock offset.", ("symbol", "stream")),
    "latency_raw_ms_p50": Definition("gauge", "Median of receipt minus push time.", ("symbol", "stream")),
    "latency_raw_ms_p90": Definition("gauge", "90th percentile, as recorded.", ("symbol", "stream")),
    "latency_raw_ms_p99": Definition("gauge", "99th percentile, as recorded.", ("symbol", "stream")),
    "cvd_scale_median": Definition("gauge", "Median of cvd.scale over the recent rows, base asset.", ("symbol",)),
    "cvd_floor_hit_rate": Definition("gauge", "Share of recent cvd rows whose scale is the floor.", ("symbol",)),
    "write_errors_total": Definition("counter", "Writes that failed: kind spool or parquet.", ("kind",)),
    "parquet_flush_sec": Definition("gauge", "Seconds the last publication took.", ("kind",)),
    "scene_coverage_miss": Definition("gauge", "Symbol and scenario or session with too few trades; 0 while not judged."),
    "trade_gaps_total": Definition("counter", "Gaps in the trade ids: kind found or unrepaired.", ("symbol", "kind")),
    "trade_ids_repaired_total": Definition("counter", "Trade ids fetched later over REST.", ("symbol",)),
    "trade_ids_open": Definition("gauge", "Trade ids known to be missing and neither fetched nor given up.", ("symbol",)),
    "book_breaks_total": Definition("counter", "Breaks of the order book's stream.", ("symbol", "stream")),
    "dropped_frames_total": Definition("counter", "Frames lost on this machine.", ("symbol", "stream")),
    "stream_silence_sec": Definition(
        "gauge", "Seconds since the last frame or since it was asked for (kind now), and its limit (kind deadline).",
        ("symbol", "stream", "kind"),
    ),
    "spool_lag_sec": Definition("gauge", "Age of the oldest frame that is not durable yet."),
    "build_lag_sec": Definition("gauge", "Seconds since the end of the last published slice."),
    "build_lag_limit_sec": Definition("gauge", "What build_lag_sec may be: several slices, the grace, a long round."),
    "report_overdue_sec": Definition("gauge", "Seconds since an hour's report should have been written; 0 if none is owed."),
    "clock_offset_ms": Definition("gauge", "The exchange's clock minus this machine's."),
}  # fmt: skip


class Metrics(Collector):
    """The current value of every series, in a registry of its own.

    Values are absolute, counters too: the run counts, this only shows. Writing and scraping may be different threads.

    Example:
        >>> metrics = Metrics()
        >>> metrics.set("trade_gaps_total", 2, symbol="BTCUSDT", kind="found")
        >>> [sample.value for sample in metrics.samples()]
        [2.0]
    """

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in METRICS}
        self._lock = threading.Lock()
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def set(self, name: str, value: float | None, **labels: str) -> None:
        """Set a series; None takes it away, for not known is not zero.

        Raises:
            ValueError: a metric or label that the table does not have.
        """
        definition = METRICS.get(name)
        if definition is None or set(labels) != set(definition.labels):
            expected = f"labels {definition.labels}" if definition else "a metric of the table"
            raise ValueError(f"{name}: expected {expected}, found {sorted(labels)}")
        key = tuple(labels[label] for label in definition.labels)
        with self._lock:
            if value is None:
                self._values[name].pop(key, None)
            else:
                self._values[name][key] = float(value)

    def samples(self) -> list[Sample]:
        """Return every series as it is now, for the alerts of this process."""
        with self._lock:
            return [
                Sample(name, tuple(sorted(zip(METRICS[name].labels, key, strict=True))), value)
                for name, series in self._values.items()
                for key, value in series.items()
            ]

    def describe(self) -> Iterator[Metric]:
        """Yield the families without values (registration asks for the names)."""
        for name in METRICS:
            yield _family(name)

    def collect(self) -> Iterator[Metric]:
        """Yield the families with their values, in the table's order."""
        for name in METRICS:
            family = _family(name)
            with self._lock:
                series = sorted(self._values[name].items())
            for key, value in series:
                family.add_metric(key, value)
            yield family


def _family(name: str) -> CounterMetricFamily | GaugeMetricFamily:
    definition = METRICS[name]
    family = CounterMetricFamily if definition.kind == "counter" else GaugeMetricFamily
    return family(name, definition.help, labels=definition.labels)
