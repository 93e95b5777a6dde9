"""The connections that carry one set of streams: the one in use, and at times the one that is to replace it.

Make before break: a replacement takes over when every stream has come through it, or is merely quiet, and the old
connection has delivered everything from before the replacement began (PROTOCOL 4.11).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ofi_cvd.binance.endpoints import ConnectionPlan
from ofi_cvd.binance.keys import Key
from ofi_cvd.collect.actions import Action, Close, Note, Open
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.collect.track import LONGEST_SILENCE_S, Track
from ofi_cvd.common.backoff import ConnectBudget, backoff_delays
from ofi_cvd.settings import Settings

STABLE_S = 10.0  # a connection that delivered for so long was a good one: the next failure starts from a short wait
LINGER_S = 2.0  # the old connection may lag behind the new one by so much
DAY_NS = 86_400 * 1_000_000_000
MIDNIGHT_NS = 15 * 1_000_000_000
MIDNIGHT_PAUSE_S = 5.0  # at 00:00 UTC the venue pauses for 2-3 s
PLANNED = ("planned", "serverShutdown")

Source = tuple[Track, Callable[[bytes], Key]]


@dataclass(frozen=True)
class Policy:
    """The limits of SPEC section 11 that steer connections, in seconds and counts."""

    first_data_s: float = 30.0
    silence_s: float = 15.0
    life_s: float = 85_200.0
    connect_budget: int = 250
    dedup_lru: int = 8192

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        """Return the limits that the settings give."""
        return cls(
            settings.first_data_secs,
            settings.silence_secs,
            settings.conn_life_secs,
            settings.connect_budget,
            settings.dedup_lru,
        )


@dataclass
class Beat:
    """One stream on one connection: the first and last id it brought, and when the last came."""

    track: Track
    read: Callable[[bytes], Key]
    first: int | None = None
    last: int = 0
    last_at: float = 0.0
    warned: bool = False


@dataclass
class Link:
    """One connection, from the wish to its end.

    Attributes:
        opened_at: when it stood; None before.
        retire: why it should be replaced; empty if it should not.
        planned: whether it replaces one that had to go anyway, by age or at the venue's word.
        ready_at: since when it could take over.
    """

    conn: str
    url: str
    group: Group
    beats: dict[bytes, Beat]
    opened_at: float | None = None
    retire: str = ""
    planned: bool = False
    ready_at: float | None = None

    @property
    def delivers(self) -> bool:
        """Whether anything came through it."""
        return any(beat.first is not None for beat in self.beats.values())


@dataclass
class Group:
    """Decides when to connect, replace and give up; appends what is to be done to the session's actions."""

    plan: ConnectionPlan
    policy: Policy
    budget: ConnectBudget
    rand: Callable[[], float]
    act: Callable[[Action], None]
    stats: RecorderStats
    sources: Mapping[bytes, Source]
    numbers: Iterator[int]
    link: Link | None = None
    spare: Link | None = None
    _try_at: float = 0.0
    _opens: int = 0
    _waits: Iterator[float] = field(init=False)

    def __post_init__(self) -> None:
        self._waits = backoff_delays(self.rand)

    def tick(self, now: float, wall_ns: int) -> None:
        """Connect what is due; judge the connection in use; hand over when its replacement is ready."""
        if self.link is None:
            if now >= self._try_at and self.budget.take(now):
                self.link = self._connect()
            return
        if self.link.opened_at is None:
            return
        if not self.link.retire and now - self.link.opened_at >= self.policy.life_s:
            self.link.retire = "planned"
        if self.spare is not None:
            if self.spare.opened_at is not None:
                self._hand_over(self.link, self.spare, self.spare.opened_at, now)
            return
        self._watch(self.link, self.link.opened_at, now, wall_ns)
        if self.link.retire and now >= self._try_at and self.budget.take(now):
            self.spare = self._connect()

    def link_opened(self, link: Link, now: float) -> None:
        """Note that a connection of ours stands."""
        link.opened_at = now
        self.stats.reconnects += self._opens > 0 and not link.planned
        self._opens += 1
        streams = [name.decode() for name in link.beats]
        self.act(Note("connect", conn=link.conn, facts={"route": self.plan.route, "streams": streams}))

    def link_closed(self, link: Link, now: float, reason: str) -> None:
        """Note that a connection of ours ended, wanted or not; the next attempt waits its time."""
        if link.opened_at is not None:
            self.act(Note("disconnect", conn=link.conn, facts={"reason": reason}))
            if link.delivers and now - link.opened_at >= min(STABLE_S, self.policy.first_data_s):
                self._waits = backoff_delays(self.rand)
        if link is self.spare:
            self.spare = None
            self._try_at = now + next(self._waits)
        elif link is self.link:
            self.link, self.spare = self.spare, None
            if self.link is None:
                self._try_at = now + next(self._waits)
            carried = self.link.beats if self.link else {}
            for name, (track, _) in self.sources.items():
                if name not in carried or carried[name].first is None:
                    track.lose()

    def _connect(self) -> Link:
        letter = (self.plan.route or "spot")[0]
        beats = {name: Beat(track, read) for name, (track, read) in self.sources.items()}
        link = Link(f"{letter}{next(self.numbers)}", self.plan.url, self, beats)
        link.planned = self.link is not None and self.link.retire in PLANNED
        self.act(Open(link))
        return link

    def _watch(self, link: Link, opened_at: float, now: float, wall_ns: int) -> None:
        """Find streams that never began, or fell silent; their connection is replaced."""
        pause = MIDNIGHT_PAUSE_S if wall_ns % DAY_NS < MIDNIGHT_NS else 0.0
        for beat in link.beats.values():
            track = beat.track
            if beat.first is None:
                limit = max(self.policy.first_data_s, track.silence_limit(0.0))
                silent, phase = now - opened_at, "first data"
            else:
                limit, silent, phase = track.silence_limit(self.policy.silence_s), now - beat.last_at, "silence"
                if silent < limit:
                    track.strikes = 0
            limit = min(limit * 2.0**track.strikes, max(LONGEST_SILENCE_S, limit)) + pause
            if silent >= limit and not beat.warned:
                beat.warned = True
                track.strikes = min(track.strikes + 1, 16)
                track.lose()
                self.stats.silent += 1
                link.retire = link.retire or f"silent {track.symbol} {track.stream}"
                facts = {"phase": phase, "silent_s": round(silent, 3), "limit_s": round(limit, 3)}
                self.act(Note("silent", track.symbol, track.stream, link.conn, facts))

    def _hand_over(self, old: Link, new: Link, opened_at: float, now: float) -> None:
        if new.ready_at is None and self._is_ready(old, new, opened_at, now):
            new.ready_at = now
        if new.ready_at is not None:
            if self._caught_up(old, new) or now - new.ready_at >= LINGER_S:
                self._replace(old, new)
        elif now - opened_at >= 2 * self.policy.first_data_s:
            # It never carried what the old one still carries: not a replacement. Try another, later.
            self._try_at = now + next(self._waits)
            self.spare = None
            self.act(Close(new.conn, "not ready"))

    def _is_ready(self, old: Link, new: Link, opened_at: float, now: float) -> bool:
        """Return whether every stream came through `new`, or came through neither since for long enough."""
        waited = now - opened_at >= self.policy.first_data_s
        return all(
            beat.first is not None or (waited and old.beats[name].last_at <= opened_at)
            for name, beat in new.beats.items()
        )

    def _caught_up(self, old: Link, new: Link) -> bool:
        """Return whether `old` has brought every id from before the first of `new`."""
        return all(
            beat.first is None
            or old.beats[name].first is None
            or old.beats[name].last >= beat.first - beat.track.is_trade
            for name, beat in new.beats.items()
        )

    def _replace(self, old: Link, new: Link) -> None:
        reason = old.retire
        self.link, self.spare = new, None
        self.stats.rotations += reason in PLANNED
        self.act(Note("rotate", conn=new.conn, facts={"old": old.conn, "reason": reason}))
        self.act(Close(old.conn, "replaced"))
