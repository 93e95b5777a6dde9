"""Disk work off the event loop: a bounded queue, a thread that writes, and patience with a disk that refuses."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ofi_cvd.collect.actions import LedgerRecord, Line, StoreRepair
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.collect.sync_thread import SyncThread
from ofi_cvd.errors import InputError, SpoolError
from ofi_cvd.spool.writer import Lost, SpoolWriter

FLUSH_S = 0.1  # the spool promises 0.2 s to the system and 1 s to the disk, the work itself included
FSYNC_S = 0.75
DAMAGE_S = 1.0
BATCH_BYTES = 4 * 1024 * 1024
STEP_S = 0.02  # how long lines gather before the thread looks: work per batch, not per frame
TRIES = 3
LAST_WRITES_S = 2.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 2.0

log = logging.getLogger(__name__)


class WriterThread:
    """Takes lines and ledger records from the event loop and gets them onto the disk, in order.

    While the disk refuses, lines stay in memory up to `retain_bytes`; from then on `room` is zero, so that the session
    counts and names what is dropped. When the disk is back, everything retained is written in order. Making files
    durable is another thread's work: a slow fsync must not keep lines in memory, where a crash would lose them.

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
        self._queue: deque[Sequence[Line] | StoreRepair | tuple[LedgerRecord, int]] = deque()
        self._put = self._taken = 0  # each counted by one thread only, so that no lock is needed
        self._full = False
        self._stop = threading.Event()
        self._undurable: deque[tuple[int, int]] = deque()
        self._failures = 0
        self._lost: list[Lost] = []
        self._failure: BaseException | None = None
        self._retry_at_s = self._next_flush_s = self._next_sync_s = self._next_look_s = 0.0
        self._syncing = SyncThread()
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)

    @property
    def failing(self) -> bool:
        """Whether the disk has refused as often as it is asked before the recorder says so."""
        return self._failures >= TRIES

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def check(self) -> None:
        """Say so if the thread has died.

        Raises:
            SpoolError: it has; nothing is written any more.
        """
        if self._failure is not None:
            raise SpoolError(f"expected the thread that writes the spool to run, found it ended by {self._failure!r}")

    def room(self) -> int:
        """Return how many lines may be handed over now."""
        return 0 if self._full else max(0, self._queue_frames - (self._put - self._taken))

    def put(self, lines: Sequence[Line]) -> None:
        """Hand over lines, at least one; the caller has asked `room`."""
        self._put += len(lines)
        self._queue.append(lines)

    def put_repair(self, repair: StoreRepair) -> None:
        """Hand over a fetched trade."""
        self._put += 1
        self._queue.append(repair)

    def record(self, record: LedgerRecord, recv_ns: int) -> None:
        """Hand over a ledger record; it follows the lines handed over before it."""
        self._queue.append((record, recv_ns))

    def close(self, timeout_s: float) -> int:
        """Write and fsync everything; return how many lines were lost because the disk did not take them in time."""
        self._stop.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():  # the disk hangs: what is not durable may be lost
            count = self._put - self._taken + sum(count for _, count in list(self._undurable))
            log.error("spool.lost_at_exit", extra={"reason": "the disk does not answer", "count": count})
            return max(1, count)
        if self._failure is not None:
            self._lost += self._writer.abandon()
        unwritten = self._put - self._taken
        count = unwritten + sum(lost.lines for lost in self._lost)
        if count or self._writer.ledger.pending:
            size, records = sum(lost.bytes for lost in self._lost), self._writer.ledger.pending
            log.error("spool.lost_at_exit", extra={"count": count, "bytes": size, "records": records})
            return max(1, count)
        return 0

    def _run(self) -> None:
        try:
            while not self._stop.wait(STEP_S):
                self._step()
            deadline = time.monotonic() + LAST_WRITES_S
            while not self._finish() and time.monotonic() < deadline:
                time.sleep(FIRST_RETRY_S)
            self._lost = self._writer.abandon()
            self._record_lost()
        except BaseException as error:  # whatever it is, the recorder must hear of it
            self._failure = error
            log.critical("spool.writer_died", exc_info=error)
        finally:
            self._syncing.stop()

    def _finish(self) -> bool:
        try:
            while self._queue:
                self._take(self._clock_ns())
            self._writer.put_back(self._syncing.wait())
            self._writer.sync(self._clock_ns())
        except OSError as error:
            self._refused(error)
            return False
        self._undurable.clear()
        return not self._writer.pending_bytes

    def _record_lost(self) -> None:
        """Name what never reached the disk; the files are closed, so that a full table of descriptors has room."""
        now_ns = self._clock_ns()
        for lost in self._lost:
            facts: dict[str, Any] = {"count": lost.lines, "bytes": lost.bytes, "reason": "exit"}
            self._stats.stream(lost.symbol, lost.stream).dropped += lost.lines
            self._writer.ledger.record("drop", recv_ns=now_ns, symbol=lost.symbol, stream=lost.stream, **facts)
        if self._lost:
            try:
                self._writer.ledger.sync()
            except OSError as error:
                log.warning("spool.ledger_write_failed", extra={"error": str(error)})

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
                log.warning("spool.disk_back", extra={"refusals": self._failures})
                self._failures, self._retry_at_s = 0, 0.0
        self._measure(now_ns)

    def _write_due(self, now_ns: int, due_s: float) -> None:
        if due_s >= self._next_flush_s or self._writer.pending_bytes >= BATCH_BYTES:
            self._next_flush_s = due_s + FLUSH_S
            self._writer.flush(now_ns)
        if due_s >= self._next_look_s:
            self._next_look_s = due_s + DAMAGE_S
            self._stats.write_errors += self._writer.find_damage(now_ns)
        if (done := self._syncing.result()) is not None:
            self._writer.put_back(done.batch)
            if done.error is not None:
                raise done.error
            self._count_durable(done.lines)
        if due_s >= self._next_sync_s and self._syncing.is_idle:
            self._next_sync_s = due_s + FSYNC_S
            self._writer.flush(now_ns)
            self._next_flush_s = due_s + FLUSH_S
            self._syncing.start(self._writer.take_unsynced(), len(self._undurable))

    def _count_durable(self, batches: int) -> None:
        done_ns = self._clock_ns()
        for _ in range(batches):
            recv_ns, count = self._undurable.popleft()
            self._stats.durable_ms.add((done_ns - recv_ns) // 1_000_000, count)

    def _take(self, now_ns: int) -> None:
        """Give the writer what is queued, at most one batch of bytes: the disk's turn must come too."""
        writer, enough = self._writer, self._writer.pending_bytes + BATCH_BYTES
        while self._queue and writer.pending_bytes < enough:
            item = self._queue.popleft()
            if isinstance(item, StoreRepair):
                self._append(item.symbol, item.stream, item.recv_ns, item.line, item.hour_ms)
                self._taken += 1
            elif isinstance(item, tuple):
                record, recv_ns = item
                self._record(record, recv_ns, now_ns)
            else:
                for (symbol, stream), recv_ns, line in item:
                    self._append(symbol, stream, recv_ns, line)
                self._taken += len(item)
                self._undurable.append((item[0][1], len(item)))

    def _append(self, symbol: str, stream: str, recv_ns: int, line: bytes, hour_ms: int | None = None) -> None:
        """Append a line; one that no file can hold costs itself alone."""
        try:
            self._writer.append(symbol, stream, recv_ns, line, repair=hour_ms is not None, hour_ms=hour_ms)
        except InputError as error:
            self._stats.stream(symbol, stream).dropped += 1
            facts: dict[str, Any] = {"count": 1, "reason": "refused", "sample": line[:200].decode("utf-8", "replace")}
            log.error("spool.line_refused", extra={"symbol": symbol, "stream": stream, "reason": str(error)})  # noqa: TRY400
            self._writer.ledger.record("drop", recv_ns=self._clock_ns(), symbol=symbol, stream=stream, **facts)

    def _record(self, record: LedgerRecord, recv_ns: int, now_ns: int) -> None:
        if record.event == "repaired" and self._writer.pending_bytes:
            try:
                self._writer.flush(now_ns)  # the record must not be there before the lines are
            except OSError as error:
                self._refused(error)
        self._writer.ledger.record(
            record.event,
            recv_ns=recv_ns,
            symbol=record.symbol,
            stream=record.stream,
            conn=record.conn,
            hour_ms=record.hour_ms,
            **record.facts,
        )

    def _refused(self, error: OSError) -> None:
        self._failures += 1
        self._stats.write_errors += 1
        wait_s = min(FIRST_RETRY_S * 4.0 ** min(self._failures - 1, 8), LONGEST_RETRY_S)
        self._retry_at_s = time.monotonic() + wait_s
        facts = {"error": str(error), "retained_mb": round(self._writer.pending_bytes / 2**20, 1), "retry_s": wait_s}
        if self._failures == TRIES:
            log.error("spool.write_failing", extra=facts)
        else:
            log.log(logging.ERROR if self.failing else logging.WARNING, "spool.write_failed", extra=facts)

    def _measure(self, now_ns: int) -> None:
        """Measure how old the oldest line is that is not durable, and whether memory for them is used up."""
        pending = self._writer.pending_bytes
        self._full = pending >= self._retain_bytes
        self._stats.retained_bytes = pending if self._failures else 0
        self._stats.queue_frames = self._put - self._taken
        oldest = self._undurable[0][0] if self._undurable else now_ns
        self._stats.spool_lag_s = max(0.0, (now_ns - oldest) / 1e9)
        self._stats.durable_ms.turn(now_ns / 1e9)
