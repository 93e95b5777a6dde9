"""The alert rules of SPEC 14, written once: the process evaluates them, and the Prometheus rule file is made from them."""

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
    grew_s: int = 0
    for_s: int = 0

    @property
    def expr(self) -> str:
        """The rule in PromQL."""
        chosen = self.metric + (f'{{kind="{self.select}"}}' if self.select else "")
        if self.against:
            return f'{chosen} > ignoring(kind) {self.metric}{{kind="{self.against}"}}'
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
        summary="A symbol has too few trades in a scenario so far",
        action="Usual early in a run. Later see the coverage report: it names ACTIVE_TPS where that is the reason.",
    ),
    Rule(
        "OfiStreamSilent", "stream_silence_sec", 0, select="now", against="deadline",
        summary="A stream has been silent past its deadline",
        action="The recorder opens another connection by itself; if it stays silent, see the exchange's notices.",
    ),
    Rule(
        "OfiTradeGapUnrepaired", "trade_gaps_total", 0, select="unrepaired", grew_s=HOUR_S,
        summary="Trades are missing that could not be fetched again",
        action="See the ledger's `unrepairable` records; `ofi collect` and `ofi harvest` try again at their next start.",
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
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(alerts_yml())
