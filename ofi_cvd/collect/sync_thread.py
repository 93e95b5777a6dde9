"""Fsyncs in a thread of their own: they may take seconds, and meanwhile lines must go on to the operating system."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass

from ofi_cvd.spool.disk import SyncBatch


@dataclass(frozen=True)
class SyncResult:
    """A batch that was tried, how many entries of the writer it covers, and what the disk said if it refused."""

    batch: SyncBatch
    lines: int
    error: OSError | None


class SyncThread:
    """Runs one batch at a time; all methods are for the writer's thread."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[SyncBatch, int] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[SyncResult] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spool-sync", daemon=True)
        self.is_idle = True

    def start(self, batch: SyncBatch, lines: int) -> None:
        """Make a batch durable; `lines` comes back with the result."""
        if self._thread.ident is None:
            self._thread.start()
        self.is_idle = False
        self._work.put((batch, lines))

    def result(self) -> SyncResult | None:
        """Return the batch that is done, once; None while it runs or if there is none."""
        try:
            done = self._done.get_nowait()
        except queue.Empty:
            return None
        self.is_idle = True
        return done

    def wait(self) -> SyncBatch:
        """Wait for the batch under way and return it, with what the disk refused of it; an empty one if there is none."""
        if self.is_idle:
            return SyncBatch(())
        done = self._done.get()
        self.is_idle = True
        return done.batch

    def stop(self) -> None:
        """Let the thread end."""
        self._work.put(None)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            batch, lines = item
            try:
                batch.run()
            except OSError as error:
                self._done.put(SyncResult(batch, lines, error))
            else:
                self._done.put(SyncResult(batch, lines, None))
