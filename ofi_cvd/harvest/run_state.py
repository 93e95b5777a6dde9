"""What the parent knows of the run at this moment: for the metrics, the alerts and the panel. No process, no clock."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.harvest.messages import Built, Counted, Dataset, Judged
from ofi_cvd.harvest.run import Run
from ofi_cvd.monitor.alerts import Alert, Alerts
from ofi_cvd.monitor.feed import RecorderFeed, build_figures, dataset_figures
from ofi_cvd.monitor.metrics import Metrics
from ofi_cvd.quality.verdicts import Verdict
from ofi_cvd.settings import Settings

LAG_SLICES: Final = 3  # a slice is published within so many of its lengths, grace and round aside
LAG_ROUND_S: Final = 120.0


@dataclass
class RunState:
    """The state of a run as far as it was told.

    Attributes:
        stats: the recorder's counters since it was last started.
        published_to: end of each symbol's last published slice, UTC ms.
        scenario: of each symbol's latest published trade.
        gates: the last verdicts; empty before the first report.
        run_tag: of the last report.
        is_final: whether the builder has published everything.
    """

    run: Run
    settings: Settings
    metrics: Metrics = field(default_factory=Metrics)
    alerts: Alerts = field(default_factory=Alerts)
    stats: RecorderStats = field(default_factory=RecorderStats)
    published_to: Mapping[str, int] = field(default_factory=dict)
    scenario: Mapping[str, str | None] = field(default_factory=dict)
    gates: Mapping[str, Verdict] = field(default_factory=dict)
    run_tag: str = ""
    is_final: bool = False
    final: Judged | None = None

    def __post_init__(self) -> None:
        settings = self.settings
        streams = dict.fromkeys((settings.trade_stream, *settings.book_streams))
        asked = [(symbol, stream) for symbol in self.run.symbols for stream in streams]
        self._feed = RecorderFeed(self.metrics, settings.silence_secs, asked)
        self._asked_s: float | None = None
        limit_s = LAG_SLICES * self.run.slice_ms / 1000 + settings.grace_secs + LAG_ROUND_S
        self.metrics.set("build_lag_limit_sec", limit_s)
        self._built = Built({}, 0.0, 0)
        self._errors_before = 0
        for kind in ("spool", "parquet"):
            self.metrics.set("write_errors_total", 0, kind=kind)
        self.metrics.set("ws_reconnects_total", 0)
        self.metrics.set("scene_coverage_miss", 0)

    def counted(self, message: Counted) -> None:
        """Take the recorder's counters."""
        self.stats = pickle.loads(message.stats)  # noqa: S301  # of our own child, through a pipe
        self._feed.update(self.stats)

    def built(self, message: Built) -> None:
        """Take a round of the builder."""
        if message.write_errors < self._built.write_errors:  # another builder counts from zero
            self._errors_before += self._built.write_errors
        self._built, self.published_to = message, message.published_to
        self.metrics.set("parquet_flush_sec", message.took_s, kind="slice")
        self.is_final = self.is_final or (message.final and not message.failed)

    def dataset(self, message: Dataset) -> None:
        """Take figures of the rows."""
        dataset_figures(self.metrics, message.winsor)
        self.scenario = message.scenario

    def judged(self, message: Judged) -> None:
        """Take a verdict."""
        self.gates, self.run_tag = message.verdicts, message.run_tag
        self.metrics.set("scene_coverage_miss", message.scene_coverage_miss)
        if message.what == "final":
            self.final = message

    def lag_s(self, now_ms: int) -> float:
        """Return the seconds since the end of the last slice that every symbol has; since the start before it."""
        ends = [max(self.run.start_ms, self.published_to.get(symbol, 0)) for symbol in self.run.symbols]
        return max(0.0, (now_ms - min(ends)) / 1000)

    def tick(self, now_ms: int, now_s: float) -> list[Alert]:
        """Bring the metrics up to date; return the alerts that began or ended."""
        built = self._built
        flush_s = built.took_s if built.published_to else 0.0
        errors = self._errors_before + built.write_errors
        self._asked_s = now_s if self._asked_s is None else self._asked_s
        self._feed.unheard(self.stats, now_s - self._asked_s)
        self.metrics.set("report_overdue_sec", self.run.overdue_s(now_ms))
        build_figures(self.metrics, lag_s=self.lag_s(now_ms), flush_s=flush_s, write_errors=errors)
        return self.alerts.feed(now_s, self.metrics.samples())
