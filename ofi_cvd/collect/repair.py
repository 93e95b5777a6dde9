"""Which missing trades to ask for next, and what an answer proves. Decisions only: no socket, no file, no clock.

Symbols take turns; of a symbol the newest gap comes first, with the older gaps that the same page of ids covers. The
exchange's plain word alone ends the asking: an answer that holds a later id and leaves out the one that was asked for.
An empty answer proves nothing, for the REST side may lag behind the stream; neither does a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ofi_cvd.binance.keys import RestTrade
from ofi_cvd.binance.rest import PAGE
from ofi_cvd.binance.wire import stream_name
from ofi_cvd.collect import records
from ofi_cvd.collect.actions import Action, StoreRepair, StreamKey
from ofi_cvd.collect.id_gaps import merged
from ofi_cvd.collect.stream_state import StreamState
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.spool.line import wrap

FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0
LONGEST_REFUSED_S = 600.0
NO_KEY = "the exchange gives single trades by id only to holders of a key"
ABSENT = "the exchange has later trades and not these"


@dataclass(frozen=True)
class TradesRequest:
    """Ask for the trades `first..last` of a stream, at most one page."""

    key: StreamKey
    first: int
    last: int

    @property
    def count(self) -> int:
        """How many ids are asked for."""
        return self.last - self.first + 1


@dataclass
class _Queue:
    """The asking of one stream: whether a request is under way, and how long to wait after trouble."""

    is_asking: bool = False
    wait_until: float = 0.0
    failures: int = 0


class RepairScheduler:
    """Decides; see the module.

    Args:
        states: the streams.
        act: takes the lines and records that an answer leads to.
    """

    def __init__(self, states: Mapping[StreamKey, StreamState], act: Callable[[Action], None]) -> None:
        self._states, self._act = states, act
        self._queues = {key: _Queue() for key, state in states.items() if state.is_trade}

    def next_request(self, now: float) -> TradesRequest | None:
        """Return what to ask for now, and take it as asked; None if nothing is due."""
        for key, queue in list(self._queues.items()):
            state = self._states[key]
            if queue.is_asking or now < queue.wait_until:
                continue
            if (gap := state.id_gaps.newest_due(now)) is None:
                continue
            if state.stream != "aggTrade":
                self._give_up(state, gap.first, gap.last, NO_KEY)
                continue
            low = max(0, gap.last - PAGE + 1)
            first = min(one.first for one in state.id_gaps.overlapping(low, gap.last) if one.reported)
            self._queues[key] = self._queues.pop(key)  # to the end of the row
            queue.is_asking = True
            return TradesRequest(key, max(low, first), gap.last)
        return None

    def answered(
        self, request: TradesRequest, rows: Sequence[tuple[RestTrade, bytes]], recv_ns: int, now: float
    ) -> None:
        """Take an answer: trades in the order of their ids, from the first one asked for on."""
        state, queue = self._states[request.key], self._queues[request.key]
        queue.is_asking, queue.failures, queue.wait_until = False, 0, 0.0
        got, unusable = [], set()
        reached = max((trade.trade_id for trade, _ in rows), default=request.first - 1)
        for trade, raw in rows:
            if not trade.is_plausible(recv_ns // 1_000_000):
                unusable.add(trade.trade_id)
            elif state.repair(trade.trade_id):
                got.append(trade.trade_id)
                self._store(state, trade, raw, recv_ns)
        state.stats.repaired += len(got)
        for ids in merged((number, number) for number in got):
            self._act(records.repaired(state, ids))
        for first, last in state.id_gaps.missing_in(request.first, min(request.last, reached)):
            self._settle_absent(state, first, last, unusable)
        self._ask_again_later(state, request, now, is_empty=not got)

    def failed(self, request: TradesRequest, retry_s: float, now: float) -> None:
        """Take note that there was no usable answer; the stream waits, longer each time, and nothing is given up."""
        queue = self._queues[request.key]
        queue.is_asking = False
        queue.failures += 1
        grown_s = min(FIRST_WAIT_S * 2.0 ** min(queue.failures - 1, 16), LONGEST_REFUSED_S)
        queue.wait_until = now + max(min(retry_s, LONGEST_REFUSED_S), grown_s)

    def restart(self) -> None:
        """Forget requests under way and waits: whoever carried them out has been stopped."""
        for key, queue in self._queues.items():
            queue.is_asking, queue.wait_until = False, 0.0
            for gap in self._states[key].id_gaps:
                gap.due = 0.0

    def _settle_absent(self, state: StreamState, first: int, last: int, unusable: set[int]) -> None:
        """Give up ids below one that the exchange has, save for those that came damaged."""
        begin = first
        for number in sorted(number for number in unusable if first <= number <= last):
            if begin < number:
                self._give_up(state, begin, number - 1, ABSENT)
            begin = number + 1
        if begin <= last:
            self._give_up(state, begin, last, ABSENT)

    def _ask_again_later(self, state: StreamState, request: TradesRequest, now: float, *, is_empty: bool) -> None:
        """Let what is still missing wait: the REST side does not have it yet, or sent it damaged."""
        for gap in state.id_gaps.overlapping(request.first, request.last):
            gap.empty = gap.empty + 1 if is_empty else 0
            gap.due = now + min(FIRST_WAIT_S * 2.0 ** min(gap.empty, 16), LONGEST_WAIT_S)

    def _give_up(self, state: StreamState, first: int, last: int, reason: str) -> None:
        for ids in state.id_gaps.missing_in(first, last):
            state.stats.unrepairable += ids[1] - ids[0] + 1
            self._act(records.unrepairable(state, ids, reason))
        state.id_gaps.remove(first, last)

    def _store(self, state: StreamState, trade: RestTrade, raw: bytes, recv_ns: int) -> None:
        line = wrap(recv_ns, "rest", stream_name(state.symbol, state.stream), raw)
        hour_ms = trade.trade_ms // HOUR_MS * HOUR_MS
        self._act(StoreRepair(state.symbol, state.stream, recv_ns, hour_ms, line))
