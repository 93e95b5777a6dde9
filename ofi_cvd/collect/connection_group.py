"""The connections that carry one set of streams: the one in use, and at times the one that is to replace it.

Make before break: a replacement takes over when every stream has come through it, or is merely quiet, and the old
connection has delivered everything from before the replacement began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ofi_cvd.binance.endpoints import ConnectionPlan
from ofi_cvd.binance.keys import Key
from ofi_cvd.collect.actions import Action, CloseConnection, LedgerRecord, OpenConnection
from ofi_cvd.collect.coverage import OVERLAP_S
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.collect.stream_rate import LONGEST_SILENCE_S
from ofi_cvd.collect.stream_state import StreamState
from ofi_cvd.common.backoff import ConnectBudget, backoff_delays
from ofi_cvd.settings import Settings

STABLE_S = 10.0  # a connection that delivered for so long was a good one: the next failure starts from a short wait
LONGEST_WAIT_S = 8.0  # with the time-out of an attempt, a venue that is back is found within 15 s
DAY_NS = 86_400 * 1_000_000_000
MIDNIGHT_NS = 15 * 1_000_000_000
MIDNIGHT_PAUSE_S = 5.0  # at 00:00 UTC the venue pauses for 2-3 s
PLANNED = ("planned", "serverShutdown")

StreamReader = tuple[StreamState, Callable[[bytes], Key]]


@dataclass(frozen=True)
class Policy:
    """The settings that steer connections, in seconds and counts."""

    first_data_s: float = 30.0
    silence_s: float = 15.0
    life_s: float = 85_200.0
    connect_budget: int = 250
    dedup_lru: int = 8192
    snapshot_s: float = 900.0

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        """Return the limits that the settings give."""
        return cls(
            settings.first_data_secs,
            settings.silence_secs,
            settings.conn_life_secs,
            settings.connect_budget,
            settings.dedup_lru,
            settings.snapshot_secs,
        )


@dataclass
class Heartbeat:
    """One stream on one connection: the first and last id it brought, and when the last came."""

    state: StreamState
    read: Callable[[bytes], Key]
    first: int | None = None
    last: int | None = None
    last_at: float = 0.0
    warned: bool = False


@dataclass
class Connection:
    """One connection, from the wish to its end.

    Attributes:
        opened_at: when it stood; None before.
        retire: why it should be replaced; empty if it should not.
        planned: whether it replaces one that had to go anyway, by age or at the venue's word.
        ready_at: since when it could take over.
    """

    conn: str
    group: ConnectionGroup
    heartbeats: dict[bytes, Heartbeat]
    opened_at: float | None = None
    retire: str = ""
    planned: bool = False
    ready_at: float | None = None

    @property
    def delivers(self) -> bool:
        """Whether anything came through it."""
        return any(heartbeat.first is not None for heartbeat in self.heartbeats.values())


@dataclass
class ConnectionGroup:
    """Decides when to connect, replace and give up; appends what is to be done to the session's actions."""

    plan: ConnectionPlan
    policy: Policy
    budget: ConnectBudget
    rand: Callable[[], float]
    act: Callable[[Action], None]
    register: Callable[[Connection], None]
    stats: RecorderStats
    readers: Mapping[bytes, StreamReader]
    numbers: Iterator[int]
    active: Connection | None = None
    spare: Connection | None = None
    _try_at: float = 0.0
    _opens: int = 0
    _waits: Iterator[float] = field(init=False)

    def __post_init__(self) -> None:
        self._waits = self._new_waits()

    def tick(self, now: float, wall_ns: int) -> None:
        """Connect what is due; judge the connection in use; hand over when its replacement is ready."""
        if self.active is None:
            if now >= self._try_at and self.budget.take(now):
                self.active = self._connect()
            return
        if self.active.opened_at is None:
            return
        if not self.active.retire and now - self.active.opened_at >= self.policy.life_s:
            self.active.retire = "planned"
        if self.spare is not None:
            if self.spare.opened_at is not None:
                self._hand_over(self.active, self.spare, self.spare.opened_at, now)
            return
        self._watch(self.active, self.active.opened_at, now, wall_ns)
        if self.active.retire and now >= self._try_at and self.budget.take(now):
            self.spare = self._connect()

    def connection_opened(self, connection: Connection, now: float) -> None:
        """Take note that a connection of ours stands."""
        connection.opened_at = now
        self.stats.reconnects += self._opens > 0 and not connection.planned
        self._opens += 1
        streams = [name.decode() for name in connection.heartbeats]
        facts = {"route": self.plan.route, "streams": streams}
        self.act(LedgerRecord("connect", conn=connection.conn, facts=facts))

    def connection_closed(self, connection: Connection, now: float, reason: str) -> None:
        """Take note that a connection of ours ended, wanted or not; the next attempt waits its time."""
        if connection.opened_at is not None:
            self.act(LedgerRecord("disconnect", conn=connection.conn, facts={"reason": reason}))
            if connection.delivers and now - connection.opened_at >= min(STABLE_S, self.policy.first_data_s):
                self._waits = self._new_waits()
        if connection is self.spare:
            self.spare = None
            self._try_at = now + next(self._waits)
        elif connection is self.active:
            self.active, self.spare = self.spare, None
            if self.active is None:
                self._try_at = now + next(self._waits)
            carried = self.active.heartbeats if self.active else {}
            for name, (state, _) in self.readers.items():
                if name not in carried or carried[name].first is None:
                    state.lose()
        for heartbeat in connection.heartbeats.values():
            if heartbeat.state.coverage is not None:
                heartbeat.state.coverage.end(connection.conn)

    def _new_waits(self) -> Iterator[float]:
        return backoff_delays(self.rand, longest_s=LONGEST_WAIT_S)

    def _connect(self) -> Connection:
        letter = (self.plan.route or "spot")[0]
        heartbeats = {name: Heartbeat(state, read) for name, (state, read) in self.readers.items()}
        connection = Connection(f"{letter}{next(self.numbers)}", self, heartbeats)
        connection.planned = self.active is not None and self.active.retire in PLANNED
        self.register(connection)
        self.act(OpenConnection(connection.conn, self.plan.url))
        return connection

    def _watch(self, connection: Connection, opened_at: float, now: float, wall_ns: int) -> None:
        """Find streams that never began, or fell silent; their connection is replaced."""
        pause = MIDNIGHT_PAUSE_S if wall_ns % DAY_NS < MIDNIGHT_NS else 0.0
        for heartbeat in connection.heartbeats.values():
            state = heartbeat.state
            if state.is_sparse:
                continue
            if heartbeat.first is None:
                limit = max(self.policy.first_data_s, state.rate.silence_limit(0.0))
                silent, phase = now - opened_at, "first data"
            else:
                limit = state.rate.silence_limit(self.policy.silence_s)
                silent, phase = now - heartbeat.last_at, "silence"
                if silent < limit:
                    state.strikes = 0
            limit = min(limit * 2.0**state.strikes, max(LONGEST_SILENCE_S, limit)) + pause
            if silent >= limit and not heartbeat.warned:
                heartbeat.warned = True
                state.strikes = min(state.strikes + 1, 16)
                state.lose()
                self.stats.silent += 1
                connection.retire = connection.retire or f"silent {state.symbol} {state.stream}"
                facts = {"phase": phase, "silent_s": round(silent, 3), "limit_s": round(limit, 3)}
                self.act(LedgerRecord("silent", state.symbol, state.stream, connection.conn, facts))

    def _hand_over(self, old: Connection, new: Connection, opened_at: float, now: float) -> None:
        if new.ready_at is None and self._is_ready(old, new, opened_at, now):
            new.ready_at = now
        if new.ready_at is not None:
            if self._caught_up(old, new) or now - new.ready_at >= OVERLAP_S:
                self._replace(old, new)
        elif now - opened_at >= 2 * self.policy.first_data_s:
            # It never carried what the old one still carries: not a replacement. Try another, later.
            self._try_at = now + next(self._waits)
            self.spare = None
            self.act(CloseConnection(new.conn, "not ready"))

    def _is_ready(self, old: Connection, new: Connection, opened_at: float, now: float) -> bool:
        """Return whether every stream came through `new`, or came through neither since for long enough."""
        waited = now - opened_at >= self.policy.first_data_s
        return all(
            heartbeat.first is not None or (waited and old.heartbeats[name].last_at <= opened_at)
            for name, heartbeat in new.heartbeats.items()
        )

    def _caught_up(self, old: Connection, new: Connection) -> bool:
        """Return whether `old` has brought every id from before the first of `new`."""
        return all(
            heartbeat.first is None
            or (last := old.heartbeats[name].last) is None
            or last >= heartbeat.first - heartbeat.state.is_trade
            for name, heartbeat in new.heartbeats.items()
        )

    def _replace(self, old: Connection, new: Connection) -> None:
        reason = old.retire
        if _overlap_is_proven(old, new):
            for heartbeat in new.heartbeats.values():
                if heartbeat.first is None and heartbeat.state.coverage is not None:
                    heartbeat.state.coverage.vouch(new.conn, old.conn)
        self.active, self.spare = new, None
        self.stats.rotations += reason in PLANNED
        self.act(LedgerRecord("rotate", conn=new.conn, facts={"old": old.conn, "reason": reason}))
        self.act(CloseConnection(old.conn, "replaced"))


def _overlap_is_proven(old: Connection, new: Connection) -> bool:
    """Return whether `old` brought a message that `new` brought too: it was not stalled when `new` began.

    A connection delivers in order, so on streams that were quiet meanwhile nothing was missed between the two.
    """
    return any(
        heartbeat.first is not None
        and (last := old.heartbeats[name].last) is not None
        and last >= heartbeat.first
        and not old.heartbeats[name].warned
        for name, heartbeat in new.heartbeats.items()
    )
