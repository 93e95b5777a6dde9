"""Disk work off the event loop: a bounded queue, a thread that writes, and patience with a disk that refuses."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ofi_cvd.collect.actions import Note
from ofi_cvd.collect.session import Entry
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.spool.writer import SpoolWriter

FLUSH_S = 0.15  # SPEC section 2 allows 0.2 s and 1 s, the work itself included
FSYNC_S = 0.75
BATCH_BYTES = 4 * 1024 * 1024
STEP_S = 0.02  # how long lines gather before the thread looks: work per batch, not per frame
TRIES = 3
LAST_WRITES_S = 2.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Repair:
    """A fetched trade for the repair file of its hour."""

    symbol: str
    stream: str
    recv_ns: int
    hour_ms: int
    line: bytes


class Spooler:
    """Takes lines and ledger records from the event loop and gets them onto the disk, in order.

    While the disk refuses, lines stay in memory up to `retain_bytes`; from then on `room` is zero, so that the session
    counts and names what is dropped. When the disk is back, everything retained is written in order.

    Args:
        root: the spool.
        queue_frames: lines that may wait for the thread.
        retain_bytes: bytes that may wait for the disk.
        stats: where refusals and delays are counted.
        writer: for tests.
        clock_ns: wall-clock time.
    """

    def __init__(
        self,
        root: Path,
        *,
        queue_frames: int,
        retain_bytes: int,
        stats: RecorderStats,
        writer: SpoolWriter | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._writer = writer or SpoolWriter(root, clock_ns=clock_ns)
        self._queue_frames, self._retain_bytes = queue_frames, retain_bytes
        self._stats, self._clock_ns = stats, clock_ns
        self._queue: deque[list[Entry] | Repair | tuple[Note, int]] = deque()
        self._put = self._taken = 0  # each counted by one thread only, so that no lock is needed
        self._full = False
        self._stop = threading.Event()
        self._undurable: deque[tuple[int, int]] = deque()
        self._failures = self._lost_bytes = 0
        self._retry_at_s = self._next_flush_s = self._next_sync_s = 0.0
        self._thread = threading.Thread(target=self._run, name="spooler", daemon=True)

    @property
    def failing(self) -> bool:
        """Whether the disk has refused as often as it is asked before the recorder says so."""
        return self._failures >= TRIES

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def room(self) -> int:
        """Return how many lines may be handed over now."""
        return 0 if self._full else max(0, self._queue_frames - (self._put - self._taken))

    def put(self, entries: list[Entry]) -> None:
        """Hand over lines, at least one; the caller has asked `room`."""
        self._put += len(entries)
        self._queue.append(entries)

    def put_repair(self, repair: Repair) -> None:
        """Hand over a fetched trade."""
        self._put += 1
        self._queue.append(repair)

    def note(self, note: Note, recv_ns: int) -> None:
        """Hand over a ledger record; it follows the lines handed over before it."""
        self._queue.append((note, recv_ns))

    def close(self, timeout_s: float) -> bool:
        """Write and fsync everything; False if the disk did not take it in time, and then say what that loses."""
        self._stop.set()
        self._thread.join(timeout_s)
        if not self._thread.is_alive() and not self._lost_bytes and not self._writer.ledger.pending:
            return True
        lost = {"bytes": self._lost_bytes or self._writer.pending_bytes, "records": self._writer.ledger.pending}
        log.error("spool.lost_at_exit the disk did not take what was retained", extra=lost)
        return False

    def _run(self) -> None:
        while not self._stop.wait(STEP_S):
            self._step()
        deadline = time.monotonic() + LAST_WRITES_S
        while not self._finish() and time.monotonic() < deadline:
            time.sleep(FIRST_RETRY_S)
        self._lost_bytes = self._writer.abandon()

    def _finish(self) -> bool:
        try:
            while self._queue:
                self._take(self._clock_ns())
            self._sync(self._clock_ns())
        except OSError as error:
            self._refused(error)
            return False
        return True

    def _step(self) -> None:
        now_ns, due_s = self._clock_ns(), time.monotonic()  # a wall clock that is set back must not stop the flushing
        self._take(now_ns)
        try:
            if due_s >= self._retry_at_s:
                self._write_due(now_ns, due_s)
        except OSError as error:
            self._refused(error)
        else:
            if self._failures and due_s >= self._retry_at_s and not self._writer.pending_bytes:
                log.warning("spool.disk_back everything retained is written", extra={"refusals": self._failures})
                self._failures, self._retry_at_s = 0, 0.0
        self._measure(now_ns)

    def _write_due(self, now_ns: int, due_s: float) -> None:
        if due_s >= self._next_sync_s:
            self._sync(now_ns)
        elif due_s >= self._next_flush_s or self._writer.pending_bytes >= BATCH_BYTES:
            self._next_flush_s = due_s + FLUSH_S
            self._writer.flush(now_ns)

    def _sync(self, now_ns: int) -> None:
        started_s = time.monotonic()
        self._writer.sync(now_ns)
        self._next_flush_s, self._next_sync_s = started_s + FLUSH_S, started_s + FSYNC_S
        done_ns = self._clock_ns()
        while self._undurable:
            recv_ns, count = self._undurable.popleft()
            self._stats.durable_ms.add((done_ns - recv_ns) // 1_000_000, count)

    def _take(self, now_ns: int) -> None:
        """Give the writer what is queued, at most one batch of bytes: the disk's turn must come too."""
        writer, enough = self._writer, self._writer.pending_bytes + BATCH_BYTES
        while self._queue and writer.pending_bytes < enough:
            item = self._queue.popleft()
            if isinstance(item, list):
                for track, recv_ns, line in item:
                    writer.append(track.symbol, track.stream, recv_ns, line)
                self._taken += len(item)
                self._undurable.append((item[0][1], len(item)))
            elif isinstance(item, Repair):
                writer.append(item.symbol, item.stream, item.recv_ns, item.line, repair=True, hour_ms=item.hour_ms)
                self._taken += 1
            else:
                self._record(*item, now_ns)

    def _record(self, note: Note, recv_ns: int, now_ns: int) -> None:
        if note.event == "repaired" and self._writer.pending_bytes:
            try:
                self._writer.flush(now_ns)  # the record must not be there before the lines are
            except OSError as error:
                self._refused(error)
        self._writer.ledger.record(
            note.event,
            recv_ns=recv_ns,
            symbol=note.symbol,
            stream=note.stream,
            conn=note.conn,
            hour_ms=None,
            **note.facts,
        )

    def _refused(self, error: OSError) -> None:
        self._failures += 1
        self._stats.write_errors += 1
        wait_s = min(FIRST_RETRY_S * 4.0 ** min(self._failures - 1, 8), LONGEST_RETRY_S)
        self._retry_at_s = time.monotonic() + wait_s
        facts = {"error": str(error), "retained_mb": round(self._writer.pending_bytes / 2**20, 1), "retry_s": wait_s}
        if self._failures == TRIES:
            log.error("spool.disk_refuses RECORDING CONTINUES IN MEMORY ONLY: free the disk", extra=facts)
        else:
            log.log(logging.ERROR if self.failing else logging.WARNING, "spool.write_failed", extra=facts)

    def _measure(self, now_ns: int) -> None:
        """Note how old the oldest line is that is not durable, and whether memory for them is used up."""
        pending = self._writer.pending_bytes
        self._full = self._failures > 0 and pending >= self._retain_bytes
        self._stats.retained_bytes = pending if self._failures else 0
        self._stats.queue_frames = self._put - self._taken
        oldest = self._undurable[0][0] if self._undurable else now_ns
        self._stats.spool_lag_s = max(0.0, (now_ns - oldest) / 1e9)
        self._stats.durable_ms.turn(now_ns / 1e9)
