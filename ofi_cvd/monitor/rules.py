"""The alert rules, written once: the process evaluates them, and the Prometheus rule file is made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HOUR_S: Final = 3600


@dataclass(frozen=True)
class Rule:
    """A metric, or how much it grew, compared with a limit.

    Attributes:
        metric: name in `/metrics`.
        limit: fires above it.
        select: value of the label `kind`; empty for all series.
        against: value of the label `kind` of the series that is the limit; empty for `limit`.
        limit_metric: metric that is the limit, with the same labels; empty for `limit`.
        grew_s: compare the growth over so many seconds; 0 compares the value.
        for_s: only once it held for so many seconds.
    """

    name: str
    metric: str
    limit: float
    summary: str
    action: str
    select: str = ""
    against: str = ""
    limit_metric: str = ""
    grew_s: int = 0
    for_s: int = 0

    @property
    def expr(self) -> str:
        """The rule in PromQL."""
        chosen = self.metric + (f'{{kind="{self.select}"}}' if self.select else "")
        if self.against:
            return f'{chosen} > ignoring(kind) {self.metric}{{kind="{self.against}"}}'
        if self.limit_metric:
            return f"{chosen} > {self.limit_metric}"
        grown = f"increase({chosen}[{duration(self.grew_s)}])" if self.grew_s else chosen
        return f"{grown} > {self.limit:g}"


RULES: Final = (
    Rule(
        "OfiLatencyHigh", "latency_ms_p99", 120, for_s=600,
        summary="Latency p99 above 120 ms for ten minutes",
        action="Look at clock_offset_ms first: a wrong clock looks the same. Then at the network and the machine's load.",
    ),
    Rule(
        "OfiReconnectsMany", "ws_reconnects_total", 10, grew_s=HOUR_S,
        summary="More than ten reconnects within an hour",
        action="Look at the log for the reasons of the disconnects; the exchange may be in maintenance.",
    ),
    Rule(
        "OfiFloorHitRateHigh", "cvd_floor_hit_rate", 0.6, for_s=900,
        summary="The floor decides the CVD scale of more than 60 % of the trades",
        action="The market's trade sizes have changed: compare HALF_LIFE_SEC and MAD_MULTIPLIER with the typical trade size.",
    ),
    Rule(
        "OfiCoverageMissing", "scene_coverage_miss", 0,
        summary="A symbol has too few trades in a scenario or session so far",
        action="See coverage_scene and coverage_session in the hourly report: it names ACTIVE_TPS where that is the reason.",
    ),
    Rule(
        "OfiStreamSilent", "stream_silence_sec", 0, select="now", against="deadline",
        summary="A stream has been silent past its deadline",
        action="The recorder opens another connection by itself; if it stays silent, see the exchange's notices.",
    ),
    Rule(
        "OfiTradeGapUnrepaired", "trade_gaps_total", 0, select="unrepaired", grew_s=HOUR_S,
        summary="Trades are missing that could not be fetched again",
        action="See the ledger's `unrepairable` records; a start within 48 hours, the venue's horizon, asks once more.",
    ),
    Rule(
        "OfiTradeIdsOpen", "trade_ids_open", 0, for_s=600,
        summary="Missing trades have not been fetched for ten minutes",
        action="The exchange's REST side refuses or lags: see `repair` lines in the log. They are tried again.",
    ),
    Rule(
        "OfiFramesDropped", "dropped_frames_total", 0, grew_s=HOUR_S,
        summary="Frames were lost on this machine",
        action="The disk or the processor is too slow, or the disk is full: see spool_lag_sec and the free space.",
    ),
    Rule(
        "OfiWritesFailing", "write_errors_total", 0, grew_s=600,
        summary="Writes to the disk fail",
        action="Free or repair the disk; what was received waits in memory up to RETAIN_MB, due slices stay due.",
    ),
    Rule(
        "OfiSpoolLagging", "spool_lag_sec", 5, for_s=60,
        summary="Frames wait more than five seconds for the disk",
        action="A kill would lose them: see the load of disk and processor, and write_errors_total.",
    ),
    Rule(
        "OfiBuildLagging", "build_lag_sec", 0, limit_metric="build_lag_limit_sec", for_s=120,
        summary="Slices are published too late",
        action="See `harvest.slice_due` and `harvest.child_died` in the log; recording goes on, slices stay due.",
    ),
    Rule(
        "OfiReportOverdue", "report_overdue_sec", 600,
        summary="An hourly report is ten minutes overdue",
        action="See `harvest.report_failed` in the log; `ofi dq --start ... --end ...` writes it by hand.",
    ),
)  # fmt: skip


def duration(seconds: int) -> str:
    """Return seconds as Prometheus writes them.

    Example:
        >>> duration(3600), duration(600), duration(45)
        ('1h', '10m', '45s')
    """
    for size, unit in ((HOUR_S, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


DOWN: Final = """
      - alert: OfiDown
        expr: 'up{job="ofi"} == 0'
        for: 2m
        labels:
          severity: critical
        annotations:
          summary: "The harvest cannot be scraped"
          description: "Nothing may be recorded: start the same command again, it continues the run."
""".lstrip("\n")
"""The one rule that no process can judge of itself."""


def alerts_yml() -> str:
    """Return `ops/prometheus/alerts.yml`."""
    lines = [
        "# Made from ofi_cvd/monitor/rules.py by `python -m ofi_cvd.monitor.rules`; edit there.",
        "groups:",
        "  - name: ofi",
        "    rules:",
    ]
    for rule in RULES:
        lines += [f"      - alert: {rule.name}", f"        expr: '{rule.expr}'"]
        lines += [f"        for: {duration(rule.for_s)}"] if rule.for_s else []
        lines += [
            "        labels:",
            "          severity: warning",
            "        annotations:",
            f'          summary: "{rule.summary}"',
            f'          description: "{rule.action}"',
        ]
    return "\n".join(lines) + "\n" + DOWN


if __name__ == "__main__":
    import sys

    sys.stdout.write(alerts_yml())
