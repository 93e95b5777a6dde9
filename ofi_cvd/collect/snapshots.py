"""When to ask for a snapshot of a book that is recorded as changes. Decisions only: no socket, no file, no clock.

A book is open once a snapshot stands where its chain of changes can continue: not before the update that the chain
continues. It is asked for at the start of a stream, after every break, and every `SNAPSHOT_SECS`. Closed books come
first, and all snapshots together take at most half of the request weight, so that trade repairs do not starve.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ofi_cvd.binance.keys import snapshot_id
from ofi_cvd.binance.rest import SNAPSHOT_LEVELS
from ofi_cvd.binance.wire import stream_name
from ofi_cvd.collect.actions import Action, LedgerRecord, StoreLines, StreamKey
from ofi_cvd.collect.stream_state import StreamState
from ofi_cvd.spool.layout import SNAPSHOT_STREAM
from ofi_cvd.spool.line import splice

STALE_WAIT_S = 1.0  # the REST side may lag behind the stream
LONGEST_WAIT_S = 60.0
MINUTE_S = 60.0


@dataclass(frozen=True)
class SnapshotRequest:
    """Ask for the book of `symbol`; `key` is the stream of changes that needs it, `reason` why."""

    key: StreamKey
    chain: int
    reason: str


@dataclass
class _Book:
    """What is known of one symbol's snapshots.

    Attributes:
        open_chain: the chain that the last snapshot continues in; 0 if none.
        next_at: from when the next one may be asked for, while the book is closed or when it is due again.
        failures: how often in a row no usable snapshot came.
    """

    open_chain: int = 0
    next_at: float = 0.0
    closed_at: float = 0.0
    failures: int = 0
    is_asking: bool = False


class SnapshotScheduler:
    """Decides; see the module.

    Args:
        states: all streams; those of changes are looked after, one a symbol.
        act: takes the lines and records that an answer leads to.
        every_s: `SNAPSHOT_SECS`.
        per_minute: how many snapshots the weight allows.
    """

    def __init__(
        self,
        states: Mapping[StreamKey, StreamState],
        act: Callable[[Action], None],
        *,
        every_s: float,
        per_minute: int,
    ) -> None:
        diffs = {state.symbol: state for state in states.values() if state.is_diff}  # one snapshot serves all variants
        self._states = {state.key: state for state in diffs.values()}
        self._books = {key: _Book() for key in self._states}
        self._act, self._every_s, self._per_minute = act, every_s, per_minute
        self._asked: deque[float] = deque()

    @property
    def is_needed(self) -> bool:
        """Whether any stream carries changes."""
        return bool(self._books)

    def next_request(self, now: float) -> SnapshotRequest | None:
        """Return what to ask for now, and take it as asked; None if nothing is due or the weight is spent."""
        while self._asked and now - self._asked[0] >= MINUTE_S:
            self._asked.popleft()
        if len(self._asked) >= self._per_minute:
            return None
        due = [key for key, state in self._states.items() if state.chain and self._is_due(key, now)]
        if not due:
            return None
        key = min(due, key=lambda key: (self._is_open(key), self._books[key].next_at))
        book, chain = self._books[key], self._states[key].chain
        book.is_asking = True
        self._asked.append(now)
        reason = "due" if self._is_open(key) else ("start" if chain == 1 else "break")
        return SnapshotRequest(key, chain, reason)

    def answered(self, request: SnapshotRequest, body: bytes, recv_ns: int, now: float) -> None:
        """Store a snapshot; one that stands before the chain opens no book and is asked for again."""
        number, state = snapshot_id(body), self._states[request.key]
        if number is None:
            self.failed(request, STALE_WAIT_S, now)
            return
        name = stream_name(state.symbol, SNAPSHOT_STREAM).encode()
        raw = b'{"stream":"%b","limit":%d,"data":%b}' % (name, SNAPSHOT_LEVELS, body.strip())
        try:
            line = splice(recv_ns, "rest", raw)
        except ValueError:
            self.failed(request, STALE_WAIT_S, now)
            return
        self._act(StoreLines([((state.symbol, SNAPSHOT_STREAM), recv_ns, line)]))
        facts = {"update_id": number, "limit": SNAPSHOT_LEVELS, "reason": request.reason}
        self._act(LedgerRecord("snapshot", state.symbol, SNAPSHOT_STREAM, "rest", facts))
        if state.chain_from is not None and number >= state.chain_from:
            book = self._books[request.key]
            book.is_asking, book.failures = False, 0
            book.open_chain, book.next_at = state.chain, now + self._every_s
        else:
            self.failed(request, STALE_WAIT_S, now)

    def failed(self, request: SnapshotRequest, retry_s: float, now: float) -> None:
        """Take note that no usable snapshot came; the next try waits, longer each time."""
        book = self._books[request.key]
        book.is_asking = False
        book.failures += 1
        grown_s = min(STALE_WAIT_S * 2.0 ** min(book.failures - 1, 16), LONGEST_WAIT_S)
        book.closed_at = book.next_at = now + max(min(retry_s, LONGEST_WAIT_S), grown_s)

    def _is_open(self, key: StreamKey) -> bool:
        state = self._states[key]
        return state.chain_from is not None and self._books[key].open_chain == state.chain

    def _is_due(self, key: StreamKey, now: float) -> bool:
        """Return whether a book needs a snapshot: an open one at its time, a closed one as soon as its wait allows."""
        book = self._books[key]
        if book.is_asking or self._states[key].chain_from is None:
            return False
        return now >= (book.next_at if self._is_open(key) else book.closed_at)
