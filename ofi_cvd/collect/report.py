"""What the session reports at intervals: losses on our side, repetitions, rates and silences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ofi_cvd.collect import records
from ofi_cvd.collect.actions import Action, LedgerRecord, StreamKey
from ofi_cvd.collect.arrivals import DroppedFrames
from ofi_cvd.collect.connection_group import Policy
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.collect.stream_state import StreamState
from ofi_cvd.common.times import HOUR_MS

REPORT_S = 1.0  # losses on our side are reported at most this often
DUPLICATES_MS = 600_000  # repetitions at least this often, so that a crash forgets little
SAMPLE_BYTES = 200


@dataclass
class _Counted:
    """A stream's counters when they were last reported, and when it was last heard (monotonic seconds)."""

    received: int = 0
    repeated: int = 0
    differing: int = 0
    heard: int = 0
    heard_at: float = 0.0


class Reporter:
    """Keeps the derived figures of the counters and writes what the ledger has to know of them.

    Args:
        states: the streams.
        policy: their deadlines.
        stats: the counters.
        act: takes ledger records.
    """

    def __init__(
        self,
        states: Mapping[StreamKey, StreamState],
        policy: Policy,
        stats: RecorderStats,
        act: Callable[[Action], None],
    ) -> None:
        self._states, self._policy, self._stats, self._act = states, policy, stats, act
        self._next_report: float | None = None
        self._counted = {key: _Counted() for key in states}
        self._since_ms: int | None = None
        self._kinds: dict[str, int] = {}
        self._sample = ""

    def count_unreadable(self, kind: str, frame: bytes) -> None:
        """Count a frame of no stream of ours, or one that could not be taken apart."""
        self._stats.unroutable += kind == "exception"
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        self._sample = self._sample or frame[:SAMPLE_BYTES].decode("utf-8", "replace")

    def tick(self, now: float, wall_ns: int) -> None:
        """Report what is due."""
        wall_ms = wall_ns // 1_000_000
        if self._next_report is None or self._since_ms is None:
            self._next_report, self._since_ms = now, wall_ms
            for counted in self._counted.values():
                counted.heard_at = now
        if now < self._next_report:
            return
        self._report_losses(wall_ns)
        since_ms = self._since_ms
        if wall_ms // HOUR_MS != since_ms // HOUR_MS or not 0 <= wall_ms - since_ms < DUPLICATES_MS:
            self._report_repetitions(since_ms, wall_ms)
        elapsed_s = now - self._next_report + REPORT_S
        self._next_report = now + REPORT_S
        for key, state in self._states.items():
            self._measure(state, self._counted[key], now, elapsed_s)

    def finish(self, wall_ns: int) -> None:
        """Report everything."""
        self._report_losses(wall_ns)
        wall_ms = wall_ns // 1_000_000
        self._report_repetitions(wall_ms if self._since_ms is None else self._since_ms, wall_ms)

    def _report_losses(self, wall_ns: int) -> None:
        for state in self._states.values():
            if state.dropped.count:
                self._act(records.overflow(state, wall_ns))
                state.dropped = DroppedFrames()
        if self._kinds:
            facts = {"count": sum(self._kinds.values()), "reason": "unreadable", "kinds": self._kinds}
            self._act(LedgerRecord("drop", facts=facts | {"sample": self._sample}))
            self._kinds, self._sample = {}, ""

    def _report_repetitions(self, since_ms: int, wall_ms: int) -> None:
        end_ms = min(max(wall_ms, since_ms), (since_ms // HOUR_MS + 1) * HOUR_MS)
        for key, state in self._states.items():
            counted, stats = self._counted[key], state.stats
            repeated, differing = stats.duplicates - counted.repeated, stats.differing - counted.differing
            if repeated or differing:
                self._act(records.duplicates(state, repeated, differing, since_ms, end_ms))
            counted.repeated, counted.differing = stats.duplicates, stats.differing
        self._since_ms = wall_ms

    def _measure(self, state: StreamState, counted: _Counted, now: float, elapsed_s: float) -> None:
        stats = state.stats
        state.rate.observe(stats.received, now)
        stats.rate, counted.received = (stats.received - counted.received) / elapsed_s, stats.received
        heard = stats.received + stats.duplicates + stats.dropped
        if heard != counted.heard:
            counted.heard, counted.heard_at = heard, now
        stats.silence_s = now - counted.heard_at
        stats.deadline_s = math.inf if state.is_sparse else state.rate.silence_limit(self._policy.silence_s)
        stats.open_ids = state.id_gaps.missing
        stats.latency_ms.turn(now)
