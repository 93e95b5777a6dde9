"""The recorder's decisions without a socket, a file or a clock: connect, watch, hand over, name what is missing.

The shell reports what happened (`opened`, `received`, `closed`), calls `tick` a few times a second and carries out the
actions that `take` returns, in their order: the record of a gap comes before the lines behind it. Times are monotonic
seconds (`now`) and wall-clock nanoseconds (`recv_ns`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from ofi_cvd.binance.endpoints import ConnectionPlan
from ofi_cvd.binance.keys import Key, control_kind, is_chained, key_reader, stream_of, stream_of_any
from ofi_cvd.binance.rest import snapshots_per_minute
from ofi_cvd.binance.wire import Market, stream_name
from ofi_cvd.collect import records
from ofi_cvd.collect.actions import Action, Line, StoreLines, StreamKey
from ofi_cvd.collect.arrivals import Arrival, Verdict
from ofi_cvd.collect.connection_group import Connection, ConnectionGroup, Heartbeat, Policy
from ofi_cvd.collect.repair import RepairScheduler
from ofi_cvd.collect.report import Reporter
from ofi_cvd.collect.resume import Tail
from ofi_cvd.collect.snapshots import SnapshotScheduler
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.collect.stream_state import StreamState
from ofi_cvd.common.backoff import ConnectBudget
from ofi_cvd.spool.line import head, tail

STORED, HELD = Verdict.STORED, Verdict.HELD


class _Batch:
    """Frames that one read of a socket gave, and what becomes of them."""

    def __init__(self, conn: str, recv_ns: int, now: float, room: int) -> None:
        self.conn, self.recv_ns, self.now, self.room = conn, recv_ns, now, room
        self.recv_ms = recv_ns // 1_000_000
        self.prefix = head(recv_ns, conn)
        self.lines: list[Line] = []
        self.troubled: set[StreamState] = set()


class Session:
    """Decides; see the module.

    Args:
        plans: the connections that the recording needs.
        market: `usdm` or `spot`.
        policy: the limits.
        rand: uniform in [0, 1), for the jitter.
        stats: where everything is counted.

    Attributes:
        states: what is known of each stream.
        repairs: which missing trades to ask for next.
        snapshots: which books to ask for next.
    """

    def __init__(
        self,
        plans: Sequence[ConnectionPlan],
        market: Market,
        policy: Policy,
        *,
        rand: Callable[[], float],
        stats: RecorderStats,
    ) -> None:
        self._stats = stats
        self._actions: list[Action] = []
        self.states = {
            key: StreamState(*key, policy.dedup_lru, stats.stream(*key), is_chained=is_chained(key[1], market))
            for plan in plans
            for key in plan.streams
        }
        self.repairs = RepairScheduler(self.states, self._actions.append)
        self.snapshots = SnapshotScheduler(
            self.states, self._actions.append, every_s=policy.snapshot_s, per_minute=snapshots_per_minute(market)
        )
        self._reporter = Reporter(self.states, policy, stats, self._actions.append)
        self._connections: dict[str, Connection] = {}
        self._early: dict[StreamKey, list[tuple[Heartbeat, bytes, _Batch]]] = {}
        budget, numbers = ConnectBudget(policy.connect_budget), itertools.count(1)
        readers = {key: (state, key_reader(key[1], market)) for key, state in self.states.items()}
        self._groups = [
            ConnectionGroup(
                plan, policy, budget, rand, self._actions.append, self._register, stats,
                {stream_name(*key).encode(): readers[key] for key in plan.streams}, numbers,
            )
            for plan in plans
        ]  # fmt: skip

    def take(self) -> list[Action]:
        """Return what is to be done now, in order, and forget it."""
        actions = self._actions[:]
        self._actions.clear()  # others hold on to this very list
        return actions

    def tick(self, now: float, wall_ns: int) -> None:
        """Let time pass: connect what is due, look after silence and rotation, report gaps."""
        for group in self._groups:
            group.tick(now, wall_ns)
        for state in self.states.values():
            if state.held:
                self._release(state, now)
        self._report_gaps(now)
        self._reporter.tick(now, wall_ns)

    def opened(self, conn: str, now: float) -> None:
        """Take note that a connection stands."""
        connection = self._connections[conn]
        connection.group.connection_opened(connection, now)
        self._stats.connections += 1

    def closed(self, conn: str, now: float, reason: str) -> None:
        """Take note that a connection ended, or could not be opened."""
        connection = self._connections.pop(conn, None)
        if connection is not None:
            self._stats.connections -= connection.opened_at is not None
            connection.group.connection_closed(connection, now, reason)

    def received(self, conn: str, frames: Sequence[bytes], recv_ns: int, now: float, room: int) -> None:
        """Take frames of one connection; at most `room` of them are stored.

        A repeated message is counted and left out; what finds no room is counted as dropped and its id stays unseen.
        Whatever is wrong with a frame costs that frame alone.
        """
        connection = self._connections.get(conn)
        if connection is None:
            return
        heartbeats, batch = connection.heartbeats, _Batch(conn, recv_ns, now, room)
        for frame in frames:
            try:
                heartbeat = heartbeats.get(stream_of(frame)) or heartbeats.get(stream_of_any(frame))
                if heartbeat is None:
                    self._take_stray(connection, frame)
                elif not heartbeat.state.is_ready:
                    self._early.setdefault(heartbeat.state.key, []).append((heartbeat, frame, batch))
                else:
                    _take_frame(heartbeat, frame, batch)
            except Exception:  # noqa: BLE001  # deep nesting, for one, is no decode error: one frame, counted
                self._reporter.count_unreadable("exception", frame)
        self._store(batch)

    def resume(self, key: StreamKey, tail: Tail) -> None:
        """Continue a stream where the spool ends, and take the frames that came before that was known."""
        state = self.states[key]
        state.resume(tail.keys)
        state.is_ready = True
        for heartbeat, frame, arrived in self._early.pop(key, []):
            batch = _Batch(arrived.conn, arrived.recv_ns, arrived.now, 1)
            _take_frame(heartbeat, frame, batch)
            self._store(batch)

    def finish(self, wall_ns: int) -> None:
        """Report everything that is known to be missing, without waiting for what might still arrive."""
        for state in self.states.values():
            if state.held:
                self._release(state, math.inf)
        self._report_gaps(math.inf)
        self.repairs.restart()
        self._reporter.finish(wall_ns)

    def _register(self, connection: Connection) -> None:
        self._connections[connection.conn] = connection

    def _store(self, batch: _Batch) -> None:
        for state in batch.troubled:
            self._record_breaks(state, batch.now)
        if batch.lines:
            self._actions.append(StoreLines(batch.lines))

    def _release(self, state: StreamState, now: float) -> None:
        """Store what was held back for long enough, behind the record of its gap."""
        lines = state.release(now)
        self._record_breaks(state, now)
        if lines:
            self._actions.append(StoreLines(lines))

    def _record_breaks(self, state: StreamState, now: float) -> None:
        for gap in state.due_breaks(now):
            state.stats.breaks += 1
            self._actions.append(records.sequence_break(state, gap))

    def _report_gaps(self, now: float) -> None:
        for state in self.states.values():
            self._record_breaks(state, now)
            if not state.is_trade:
                continue
            for gap in state.id_gaps.unreported(now):
                gap.reported = True
                state.stats.gaps += 1
                state.stats.missing += gap.missing
                self._actions.append(records.id_gap(state, gap))

    def _take_stray(self, connection: Connection, frame: bytes) -> None:
        kind = control_kind(frame)
        if kind == "shutdown":
            connection.retire = "serverShutdown"
            return
        self._stats.unroutable += kind != "ack"
        if kind in ("garbage", "error"):
            self._reporter.count_unreadable(kind, frame)


def _take_frame(heartbeat: Heartbeat, frame: bytes, batch: _Batch) -> None:
    state, key, lines = heartbeat.state, _key(heartbeat, frame), batch.lines
    before = heartbeat.last
    if key is not None:
        if heartbeat.first is None:
            heartbeat.first = key.number
        heartbeat.last, heartbeat.last_at = key.number, batch.now
    if len(lines) >= batch.room:
        state.drop(key)
        return
    line = batch.prefix + tail(frame)
    if key is None:  # stored as it came; readers will reject it, so its id does not count as seen
        state.stats.unreadable += 1
        lines.append((state.key, batch.recv_ns, line))
        return
    if key.event_ms is not None:
        state.stats.latency_ms.add(batch.recv_ms - key.event_ms)
    verdict = HELD if state.held else state.accept(key, batch.recv_ns, batch.now, batch.conn, before)
    if verdict == STORED:
        lines.append((state.key, batch.recv_ns, line))
        if state.is_trade:
            state.stats.last_frame = frame
    elif verdict == HELD:
        lines += state.hold(Arrival(key, batch.recv_ns, batch.now, batch.conn, line))
    if state.breaks or (state.coverage is not None and state.coverage.unproven):
        batch.troubled.add(state)


def _key(heartbeat: Heartbeat, frame: bytes) -> Key | None:
    """Return a frame's key; None if readers of the spool would reject it."""
    try:
        return heartbeat.read(frame)
    except Exception:  # noqa: BLE001  # a decode error, or whatever a hostile frame raises in the decoder
        return None
