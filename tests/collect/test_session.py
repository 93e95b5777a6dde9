"""The session's decisions, with time as an argument: no sockets, no sleeping."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from ofi_cvd.binance.endpoints import plan_connections, resolve
from ofi_cvd.binance.keys import Key
from ofi_cvd.collect.actions import Action, CloseConnection, LedgerRecord, OpenConnection, StoreLines
from ofi_cvd.collect.connection_group import Policy
from ofi_cvd.collect.resume import Tail, TailLine
from ofi_cvd.collect.session import Session
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.common.backoff import BUDGET_WINDOW_S, ConnectBudget, backoff_delays

NOON_NS = 1_760_616_000_000_000_000
MIDNIGHT_NS = 20_378 * 86_400 * 10**9
GOODBYE = b'{"e":"serverShutdown","E":1}'
POLICY = Policy(first_data_s=30.0, silence_s=15.0, life_s=1000.0, connect_budget=250)


def trade(number: int, symbol: str = "btcusdt") -> bytes:
    return b'{"stream":"%b@aggTrade","data":{"e":"aggTrade","E":1,"a":%d,"p":"1","q":"1","T":1,"m":true}}' % (
        symbol.encode(),
        number,
    )


def quote(number: int, symbol: str = "btcusdt", size: int = 1) -> bytes:
    return (
        b'{"stream":"%b@bookTicker","data":{"e":"bookTicker","u":%d,"T":1,"E":1,"b":"1","B":"%d","a":"2","A":"1"}}'
        % (symbol.encode(), number, size)
    )


def book(number: int, previous: int, symbol: str = "btcusdt") -> bytes:
    return (
        b'{"stream":"%b@depth10@100ms","data":{"e":"depthUpdate","T":1,"E":1,"u":%d,"pu":%d,"b":[["1","1"]],"a":[["2","1"]]}}'
        % (symbol.encode(), number, previous)
    )


class World:
    """A session and its clock."""

    def __init__(self, *symbols: str, policy: Policy = POLICY, streams: tuple[str, ...] = ("aggTrade",)) -> None:
        endpoint = resolve("http://127.0.0.1:1", "usdm")
        self.stats = RecorderStats()
        plans = plan_connections(endpoint, "usdm", symbols or ("BTCUSDT",), streams)
        self.session = Session(plans, "usdm", policy, rand=lambda: 1.0, stats=self.stats)
        self.now, self.wall_ns = 100.0, NOON_NS
        self.stored: list[bytes] = []
        self.kept: list[Action] = []

    def tick(self, seconds: float = 0.0) -> list[Action]:
        self.now += seconds
        self.wall_ns += int(seconds * 1e9)
        self.session.tick(self.now, self.wall_ns)
        kept, self.kept = self.kept, []
        return kept + self.take()

    def take(self) -> list[Action]:
        """Take the actions and store their lines."""
        actions = self.session.take()
        for action in actions:
            if isinstance(action, StoreLines):
                self.stored += [line for _, _, line in action.lines]
        return actions

    def opened(self) -> str:
        """Let one connection be asked for and stand."""
        (conn,) = [action.conn for action in self.tick() if isinstance(action, OpenConnection)]
        self.session.opened(conn, self.now)
        self.take()
        return conn

    def retire(self, conn: str) -> None:
        """Let the venue announce the end of a connection."""
        self.session.received(conn, [GOODBYE], self.wall_ns, self.now, 1000)

    def frames(self, conn: str, *frames: bytes, room: int = 1000) -> int:
        """Deliver frames; return how many were stored at once. Other actions are kept for the next tick."""
        before = len(self.stored)
        self.session.received(conn, frames, self.wall_ns, self.now, room)
        self.kept += self.take()
        return len(self.stored) - before


def kinds(actions: list[Action]) -> list[str]:
    return [action.event if isinstance(action, LedgerRecord) else type(action).__name__ for action in actions]


def records(actions: list[Action], event: str) -> list[LedgerRecord]:
    return [action for action in actions if isinstance(action, LedgerRecord) and action.event == event]


def test_waits_grow_up_to_a_cap_with_full_jitter() -> None:
    delays = backoff_delays(lambda: 1.0, 1.0, 60.0)
    assert [next(delays) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    jittered = backoff_delays(iter([0.0, 0.5, 0.25]).__next__, 1.0, 60.0)
    assert [next(jittered) for _ in range(3)] == [0.0, 1.0, 1.0]


def test_the_budget_of_an_address_is_never_exceeded() -> None:
    budget = ConnectBudget(3)
    assert [budget.take(0.0), budget.take(1.0), budget.take(2.0), budget.take(3.0)] == [True, True, True, False]
    assert budget.take(BUDGET_WINDOW_S)
    assert not budget.take(BUDGET_WINDOW_S + 0.5)


def test_failed_connections_are_tried_again_later_and_later_within_the_budget() -> None:
    world = World(policy=Policy(connect_budget=20))
    attempts: list[float] = []
    for _ in range(30_000):  # 50 minutes
        for action in world.tick(0.1):
            if isinstance(action, OpenConnection):
                attempts.append(world.now)
                world.session.closed(action.conn, world.now, "refused")
    waits = [after - before for before, after in itertools.pairwise(attempts)]
    assert [round(wait) for wait in waits[:6]] == [1, 2, 4, 8, 8, 8]
    for at in attempts:
        assert sum(at <= other < at + BUDGET_WINDOW_S for other in attempts) <= 20


def test_a_mixed_plan_opens_a_connection_for_each_route() -> None:
    world = World(streams=("aggTrade", "depth10@100ms"))
    connections = [action for action in world.tick() if isinstance(action, OpenConnection)]
    assert [connection.conn for connection in connections] == ["m1", "p2"]
    assert "/market/stream?streams=btcusdt@aggTrade" in connections[0].url
    assert "/public/stream?streams=btcusdt@depth10@100ms" in connections[1].url


def test_first_data_has_a_deadline_for_each_stream() -> None:
    world = World("BTCUSDT", "ETHUSDT")
    connection = world.opened()
    world.tick(29.0)
    world.frames(connection, trade(1))
    assert records(world.tick(), "silent") == []
    actions = world.tick(1.5)
    (silent,) = records(actions, "silent")
    assert (silent.symbol, silent.stream, silent.facts["phase"]) == ("ETHUSDT", "aggTrade", "first data")
    assert "OpenConnection" in kinds(
        actions + world.tick(0.1)
    )  # the replacement; the old one is kept until it delivers


def test_a_stream_that_never_speaks_is_reported_less_and_less_often() -> None:
    """Its connection is replaced, yet not every thirty seconds for ever: the others on it are well."""
    world = World("BTCUSDT", "ETHUSDT")
    connections = [world.opened()]
    number, reported = 0, 0
    for _ in range(3600 * 2):
        number += 1
        for connection in connections:
            world.frames(connection, trade(number))
        for action in world.tick(0.5):
            if isinstance(action, OpenConnection):
                world.session.opened(action.conn, world.now)
                connections.append(action.conn)
            elif isinstance(action, CloseConnection):
                world.session.closed(action.conn, world.now, "replaced")
                connections = [conn for conn in connections if conn != action.conn]
            reported += isinstance(action, LedgerRecord) and action.event == "silent"
    assert 3 <= reported <= 8
    assert len(connections) <= 2
    assert len(world.stored) == number


@pytest.mark.parametrize(("wall_ns", "silent"), [(NOON_NS, True), (MIDNIGHT_NS, False)])
def test_a_pause_at_midnight_is_allowed(wall_ns: int, silent: bool) -> None:
    world = World(policy=Policy(silence_s=3.0))
    connection = world.opened()
    for number in range(100):
        world.tick(0.1)
        world.frames(connection, trade(number))
    world.tick()
    world.wall_ns = wall_ns
    rate = world.session.states["BTCUSDT", "aggTrade"].rate  # a fast stream, by its own history
    rate._frames, rate._seconds = 1000.0, 100.0
    assert bool(records(world.tick(4.0), "silent")) is silent


def hand_over(world: World) -> str:
    (new,) = [action.conn for action in world.tick() if isinstance(action, OpenConnection)]
    world.session.opened(new, world.now)
    world.take()
    return new


def test_rotation_makes_before_it_breaks() -> None:
    """The old connection stays until the new one delivers every stream and the old one has caught up with it."""
    world = World("BTCUSDT", "ETHUSDT", policy=Policy(life_s=10.0))
    old = world.opened()
    world.frames(old, trade(1), trade(1, "ethusdt"))
    assert "OpenConnection" not in kinds(world.tick(9.0))
    world.frames(old, trade(2), trade(2, "ethusdt"))
    world.now += 1.5
    new = hand_over(world)
    world.frames(new, trade(4))
    assert "CloseConnection" not in kinds(world.tick(0.1))  # ETHUSDT has not come through
    world.frames(new, trade(3, "ethusdt"))
    assert "CloseConnection" not in kinds(world.tick(0.1))  # the old one may still hold trade 3
    assert world.frames(old, trade(3), trade(4)) == 1  # 4 is a repetition by now
    actions = world.tick(0.1)
    assert CloseConnection(old, "replaced") in actions
    (rotate,) = records(actions, "rotate")
    assert (rotate.conn, rotate.facts["old"], rotate.facts["reason"]) == (new, old, "planned")
    assert world.stats.rotations == 1
    world.session.closed(old, world.now, "replaced")
    assert records(world.tick(5.0), "gap") == []


def test_an_old_connection_that_lags_is_waited_for_only_so_long() -> None:
    world = World()
    old = world.opened()
    world.frames(old, trade(1))
    world.retire(old)
    new = hand_over(world)
    world.frames(new, trade(5))
    assert "CloseConnection" not in kinds(world.tick(0.1))
    assert "CloseConnection" not in kinds(world.tick(1.9))
    assert "CloseConnection" in kinds(world.tick(0.2))


def test_a_stream_that_is_merely_quiet_does_not_keep_the_old_connection() -> None:
    world = World("BTCUSDT", "ETHUSDT", policy=Policy(first_data_s=30.0, silence_s=1000.0))
    old = world.opened()
    world.frames(old, trade(1), trade(1, "ethusdt"))
    world.retire(old)
    world.now += 1.0
    new = hand_over(world)
    for number in range(2, 31):
        world.frames(old, trade(number))
        world.frames(new, trade(number))
        assert "CloseConnection" not in kinds(world.tick(1.0))
    world.frames(new, trade(31))
    world.frames(old, trade(31))
    assert "CloseConnection" in kinds(world.tick(1.5))


def test_a_replacement_that_lacks_what_the_old_one_carries_is_dropped() -> None:
    world = World("BTCUSDT", "ETHUSDT", policy=Policy(first_data_s=30.0, silence_s=1000.0))
    old = world.opened()
    world.frames(old, trade(1), trade(1, "ethusdt"))
    world.retire(old)
    new = hand_over(world)
    closed: list[CloseConnection] = []
    for number in range(2, 66):
        world.frames(old, trade(number), trade(number, "ethusdt"))
        world.frames(new, trade(number))
        closed += [action for action in world.tick(1.0) if isinstance(action, CloseConnection)]
    assert closed[0] == CloseConnection(new, "not ready")
    assert old not in [action.conn for action in closed]


@pytest.mark.parametrize(
    "goodbye", [b'{"e":"serverShutdown","E":1}', b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}']
)
def test_a_server_shutdown_starts_the_replacement_at_once(goodbye: bytes) -> None:
    world = World()
    old = world.opened()
    world.frames(old, trade(1), goodbye)
    assert "OpenConnection" in kinds(world.tick())
    assert world.stats.reconnects == 0


def test_when_the_old_connection_dies_first_the_replacement_takes_over() -> None:
    world = World()
    old = world.opened()
    world.frames(old, trade(1))
    world.retire(old)
    new = hand_over(world)
    world.session.closed(old, world.now, "reset")
    assert "OpenConnection" not in kinds(world.tick(5.0))
    assert world.frames(new, trade(2)) == 1


def test_a_hole_is_told_then_fetched() -> None:
    world = World()
    connection = world.opened()
    world.frames(connection, trade(1), trade(5))
    assert records(world.tick(0.5), "gap") == []
    actions = world.tick(1.0)
    (gap,) = records(actions, "gap")
    assert (gap.facts["expected"], gap.facts["received"], gap.facts["missing"]) == (2, 5, 3)
    request = world.session.repairs.next_request(world.now)
    assert request is not None
    assert (request.key, request.first, request.last) == (("BTCUSDT", "aggTrade"), 2, 4)


def test_the_end_reports_what_is_missing_without_waiting() -> None:
    world = World()
    connection = world.opened()
    world.frames(connection, trade(1), trade(5))
    world.session.finish(world.wall_ns)
    assert "gap" in kinds(world.take())
    assert world.session.repairs.next_request(world.now) is not None


def test_without_room_frames_are_dropped_by_name() -> None:
    world = World()
    connection = world.opened()
    assert world.frames(connection, trade(1), trade(2), trade(3), room=1) == 1
    world.frames(connection, trade(4))
    actions = world.tick(2.0)
    (drop,) = records(actions, "drop")
    assert (drop.facts["count"], drop.facts["ids"]) == (2, [[2, 3]])
    assert records(actions, "gap")[0].facts["missing"] == 2


def odd_frames() -> Iterator[tuple[bytes, int]]:
    """Yield frames off the usual path, and how many lines each should give."""
    yield b'{"data":{"e":"aggTrade","E":1,"a":9,"p":"1","q":"1","T":1,"m":true},"stream":"btcusdt@aggTrade"}', 1
    yield b' {"stream":"btcusdt@aggTrade","data":{"a":9,"p":"1","q":"1","T":1,"m":true}}', 1
    yield b'{"stream":"btcusdt@aggTrade",\n"data":{"a":9,"p":"1","q":"1","T":1,"m":true}}', 1
    yield b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":17', 1  # cut off: stored, not seen
    yield b'{"stream":"../../etc@aggTrade","data":{"a":9,"p":"1","q":"1","T":1,"m":true}}', 0
    yield b'{"stream":"ethusdt@aggTrade","data":{"a":9,"p":"1","q":"1","T":1,"m":true}}', 0
    yield b'{"result":null,"id":1}', 0
    yield b'{"code":2,"msg":"Invalid request"}', 0
    yield b"{not json", 0
    yield b"\xff\xfe", 0
    yield b"", 0
    yield b"[]", 0


@pytest.mark.parametrize(("frame", "lines"), list(odd_frames()))
def test_odd_frames_do_no_harm(frame: bytes, lines: int) -> None:
    world = World()
    connection = world.opened()
    world.frames(connection, trade(8))
    assert world.frames(connection, frame) == lines
    assert all(line.startswith(b'{"recv_ns":') and b"\n" not in line for line in world.stored)
    world.frames(connection, trade(10))
    seen = lines == 1 and b'"a":9' in frame
    assert bool(records(world.tick(5.0), "gap")) is not seen


def test_frames_of_a_connection_that_is_gone_are_not_taken() -> None:
    world = World()
    connection = world.opened()
    world.session.closed(connection, world.now, "reset")
    assert world.frames(connection, trade(1)) == 0


def test_a_gap_of_quotes_is_in_the_ledger_before_the_frame_behind_it() -> None:
    """Were it written after, a kill in between would hide it for good."""
    world = World(streams=("bookTicker",))
    state = world.session.states["BTCUSDT", "bookTicker"]
    state.resume([(Key(1, 5, None, None), NOON_NS - 10**10)])
    connection = world.opened()
    assert world.frames(connection, quote(9)) == 1
    record, stored = [action for action in world.kept if kinds([action]) != ["connect"]]
    assert isinstance(stored, StoreLines)
    assert isinstance(record, LedgerRecord)
    assert (record.event, record.facts["start_ms"]) == ("gap", NOON_NS // 10**6 - 10_000)
    assert record.facts["end_ms"] == NOON_NS // 10**6
    world.kept = []
    assert "gap" not in kinds(world.tick(2.0))


def test_a_frame_nested_too_deep_costs_itself_alone() -> None:
    """Its decoder raises no decode error; the trades of the same read are stored, and their ids count as seen."""
    world = World()
    connection = world.opened()
    deep = b'{"stream":"btcusdt@aggTrade","data":' + b"[" * 3000 + b"]" * 3000 + b"}"
    strange = b'{"data":' + b"[" * 3000 + b"]" * 3000 + b"}"
    assert world.frames(connection, trade(1), strange, trade(2), deep, trade(3)) == 4
    assert [line for line in world.stored if b'"a":' in line] != []
    assert world.frames(connection, trade(1), trade(2), trade(3)) == 0
    actions = world.tick(2.0)
    assert records(actions, "gap") == []
    (drop,) = records(actions, "drop")
    assert drop.facts["count"] == 1


def test_whatever_fails_while_a_batch_is_taken_apart_the_frames_before_it_are_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    connection = world.opened()
    state = world.session.states["BTCUSDT", "aggTrade"]
    accept = state.accept

    def fail(key: Key, *rest: Any) -> object:
        if key.number == 3:
            raise MemoryError
        return accept(key, *rest)

    monkeypatch.setattr(state, "accept", fail)
    assert world.frames(connection, trade(1), trade(2), trade(3), trade(4)) == 3
    assert records(world.tick(2.0), "gap")[0].facts["missing"] == 1


def test_repetitions_are_recorded_by_stream_and_hour_and_at_the_end() -> None:
    world = World("BTCUSDT", "ETHUSDT")
    connection = world.opened()
    world.frames(connection, trade(1), trade(1), trade(1), trade(1, "ethusdt"))
    told = records(world.tick(3600.0), "duplicate")
    assert [(record.symbol, record.stream, record.facts["count"]) for record in told] == [("BTCUSDT", "aggTrade", 2)]
    assert told[0].facts["start_ms"] == NOON_NS // 10**6
    assert told[0].hour_ms == NOON_NS // 10**6
    world.frames(connection, trade(1), trade(1).replace(b'"q":"1"', b'"q":"2"'))
    world.session.finish(world.wall_ns)
    (record,) = records(world.take(), "duplicate")
    assert (record.facts["count"], record.facts["differing"]) == (1, 1)


def test_a_stream_that_never_spoke_is_silent_since_it_was_asked_for() -> None:
    world = World("BTCUSDT", "ETHUSDT")
    connection = world.opened()
    for second in range(10):
        world.frames(connection, trade(second))
        world.tick(1.0)
    assert world.stats.stream("ETHUSDT", "aggTrade").silence_s == pytest.approx(10.0)
    assert world.stats.stream("BTCUSDT", "aggTrade").silence_s == pytest.approx(0.0)


def test_a_venue_that_is_back_is_found_within_fifteen_seconds() -> None:
    """However long it was away; an attempt that hangs costs at most five seconds of them."""
    world = World()
    attempts: list[float] = []
    for _ in range(36_000):
        for action in world.tick(0.1):
            if isinstance(action, OpenConnection):
                attempts.append(world.now)
                world.now += 5.0
                world.session.closed(action.conn, world.now, "timed out")
    assert max(after - before for before, after in itertools.pairwise(attempts)) <= 15.0


def test_frames_that_come_before_the_end_of_the_spool_is_known_wait_for_it() -> None:
    world = World()
    state = world.session.states["BTCUSDT", "aggTrade"]
    state.is_ready = False
    connection = world.opened()
    assert world.frames(connection, trade(8), trade(9)) == 0
    world.session.closed(connection, world.now, "reset")
    tail = Tail(
        (TailLine(Key(5, 5, None, None), NOON_NS - 10**9, "m1"), TailLine(Key(8, 8, None, None), NOON_NS, "m1"))
    )
    world.session.resume(state.key, tail)
    world.take()
    assert len(world.stored) == 1
    assert b'"a":9' in world.stored[0]
