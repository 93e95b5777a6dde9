"""The recorder's decisions without a socket, a file or a clock: connect, watch, hand over, name what is missing.

The shell reports what happened (`opened`, `received`, `closed`), calls `tick` a few times a second and carries out the
actions that `take` returns. Times are monotonic seconds (`now`) and wall-clock nanoseconds (`recv_ns`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from ofi_cvd.binance.endpoints import ConnectionPlan
from ofi_cvd.binance.keys import Key, control_kind, key_reader, stream_of, stream_of_any
from ofi_cvd.binance.wire import stream_name
from ofi_cvd.collect.actions import Action, Fetch, Note, Open
from ofi_cvd.collect.group import Beat, Group, Link, Policy
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.collect.track import Break, Hole, Track
from ofi_cvd.common.backoff import ConnectBudget

Entry: TypeAlias = tuple[Track, int, bytes]

REPORT_S = 1.0  # losses on our side are reported at most this often
SAMPLE_BYTES = 200


@dataclass
class _Strays:
    """Frames of no stream of ours since the last report."""

    kinds: dict[str, int]
    sample: str = ""


class Session:
    """Decides; see the module.

    Args:
        plans: the connections that the recording needs.
        market: `usdm` or `spot`.
        policy: the limits.
        rand: uniform in [0, 1), for the jitter.
        stats: where everything is counted.
    """

    def __init__(
        self,
        plans: Sequence[ConnectionPlan],
        market: str,
        policy: Policy,
        *,
        rand: Callable[[], float],
        stats: RecorderStats,
    ) -> None:
        self._policy, self._stats = policy, stats
        self._actions: list[Action] = []
        self.tracks = {
            pair: Track(*pair, policy.dedup_lru, stats.stream(*pair)) for plan in plans for pair in plan.streams
        }
        budget = ConnectBudget(policy.connect_budget)
        numbers = itertools.count(1)
        sources = {pair: (track, key_reader(pair[1], market)) for pair, track in self.tracks.items()}
        self._groups = [
            Group(
                plan,
                policy,
                budget,
                rand,
                self._actions.append,
                stats,
                {stream_name(*pair).encode(): sources[pair] for pair in plan.streams},
                numbers,
            )
            for plan in plans
        ]
        self._links: dict[str, Link] = {}
        self._strays = _Strays({})
        self._next_report = 0.0
        self._counts = dict.fromkeys(self.tracks, 0)

    def take(self) -> list[Action]:
        """Return what is to be done now, and forget it."""
        actions = self._actions[:]
        self._actions.clear()  # the groups hold on to this very list
        for action in actions:
            if isinstance(action, Open):
                self._links[action.link.conn] = action.link
        return actions

    def tick(self, now: float, wall_ns: int) -> None:
        """Let time pass: connect what is due, look after silence and rotation, report holes."""
        for group in self._groups:
            group.tick(now, wall_ns)
        self._report_holes(now)
        if now >= self._next_report:
            self._report(now, now - self._next_report + REPORT_S, wall_ns)
            self._next_report = now + REPORT_S

    def opened(self, conn: str, now: float) -> None:
        """Note that a connection stands."""
        link = self._links[conn]
        link.group.link_opened(link, now)
        self._stats.connections += 1

    def closed(self, conn: str, now: float, reason: str) -> None:
        """Note that a connection ended, or could not be opened."""
        link = self._links.pop(conn, None)
        if link is not None:
            self._stats.connections -= link.opened_at is not None
            link.group.link_closed(link, now, reason)

    def received(self, conn: str, frames: Sequence[bytes], recv_ns: int, now: float, room: int) -> list[Entry]:
        """Take frames of one connection; return the spool lines to store, at most `room` of them.

        A repeated id is counted and left out; what finds no room is counted as dropped and its id stays unseen.
        """
        link = self._links.get(conn)
        if link is None:
            return []
        recv_ms = recv_ns // 1_000_000
        prefix = b'{"recv_ns":%d,"conn":"%b",' % (recv_ns, conn.encode())
        beats, entries = link.beats, list[Entry]()
        for frame in frames:
            beat = beats.get(stream_of(frame)) or beats.get(stream_of_any(frame))
            if beat is None:
                self._stray(link, frame)
                continue
            track, key = beat.track, _key(beat, frame)
            if key is not None:
                if beat.first is None:
                    beat.first = key.number
                beat.last, beat.last_at = key.number, now
            if len(entries) >= room:
                track.drop(key)
                continue
            if key is None:  # stored as it came; readers will reject it, so its id does not count as seen
                track.stats.unreadable += 1
                entries.append((track, recv_ns, prefix + _tail(frame)))
                continue
            if key.event_ms is not None:
                track.stats.latency_ms.add(recv_ms - key.event_ms)
            if track.accept(key, recv_ns, now):
                entries.append((track, recv_ns, prefix + _tail(frame)))
        return entries

    def settled_breaks(self, now: float) -> list[Note]:
        """Return the gaps of books that nothing can close any more, for the ledger *before* the frames behind them.

        Were they written after, a kill in between would leave a hole that no later run can see.
        """
        broken = [track for track in self.tracks.values() if track.breaks]
        return [self._break_note(track, gap) for track in broken for gap in track.due_breaks(now)]

    def finish(self, wall_ns: int) -> None:
        """Report everything that is known to be missing, without waiting for what might still arrive.

        Repairs that were under way are asked for once more: whoever carried them out has been stopped.
        """
        for track in self.tracks.values():
            track.retry(0, track.newest, 0.0)
        self._report_holes(math.inf)
        self.report_drops(wall_ns)

    def report_drops(self, wall_ns: int) -> None:
        """Put the losses not yet reported into the ledger."""
        for track in self.tracks.values():
            if track.dropped.count:
                dropped, track.dropped = track.dropped, type(track.dropped)()
                facts = {
                    "count": dropped.count,
                    "ids": dropped.ranges,
                    "reason": "overflow",
                    "end_ms": wall_ns // 10**6,
                }
                self._note("drop", track, facts)
        if self._strays.kinds:
            strays, self._strays = self._strays, _Strays({})
            facts = {"count": sum(strays.kinds.values()), "reason": "unreadable", "kinds": strays.kinds}
            self._actions.append(Note("drop", facts=facts | {"sample": strays.sample}))

    def _report_holes(self, now: float) -> None:
        for track in self.tracks.values():
            self._actions += [self._break_note(track, gap) for gap in track.due_breaks(now)]
            for hole in track.due_holes(now):
                self._note_hole(track, hole)

    def _report(self, now: float, elapsed: float, wall_ns: int) -> None:
        self.report_drops(wall_ns)
        for pair, track in self.tracks.items():
            track.observe(now)
            stats = track.stats
            stats.rate, self._counts[pair] = (stats.received - self._counts[pair]) / elapsed, stats.received
            stats.silence_s = max(0.0, (wall_ns - track.last_ns) / 1e9) if track.last_ns else None
            stats.deadline_s = track.silence_limit(self._policy.silence_s)
            stats.latency_ms.turn(now)

    def _note(self, event: str, track: Track, facts: dict[str, object]) -> None:
        self._actions.append(Note(event, track.symbol, track.stream, facts=facts))

    def _note_hole(self, track: Track, hole: Hole) -> None:
        if not hole.reported:
            hole.reported = True
            track.stats.gaps += 1
            track.stats.missing += hole.missing
            self._note("gap", track, {
                "expected": hole.first, "received": hole.last + 1, "missing": hole.missing,
                "start_ms": hole.start_ns // 1_000_000, "end_ms": hole.end_ns // 1_000_000,
            })  # fmt: skip
        self._actions.append(Fetch(track, hole.first, hole.last))

    def _break_note(self, track: Track, gap: Break) -> Note:
        track.stats.breaks += 1
        facts = {
            "expected": gap.expected, "received": gap.previous, "missing": None,
            "start_ms": gap.start_ns // 1_000_000, "end_ms": gap.end_ns // 1_000_000,
        }  # fmt: skip
        return Note("gap", track.symbol, track.stream, facts=facts)

    def _stray(self, link: Link, frame: bytes) -> None:
        kind = control_kind(frame)
        if kind == "shutdown":
            link.retire = "serverShutdown"
            return
        self._stats.unroutable += kind != "ack"
        if kind in ("garbage", "error"):
            kinds = self._strays.kinds
            kinds[kind] = kinds.get(kind, 0) + 1
            self._strays.sample = self._strays.sample or frame[:SAMPLE_BYTES].decode("utf-8", "replace")


def _key(beat: Beat, frame: bytes) -> Key | None:
    """Return a frame's key; None if readers of the spool would reject it."""
    try:
        return beat.read(frame)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _tail(frame: bytes) -> bytes:
    """Return a JSON object's bytes after its brace; line breaks between tokens become spaces, all else is verbatim."""
    if b"\n" in frame or b"\r" in frame:
        frame = frame.replace(b"\r", b" ").replace(b"\n", b" ")
    return frame[1:] if frame[:1] == b"{" else frame.lstrip()[1:]
