"""Keeps a child process alive: starts it, hears it, starts it again when it has died or gone silent."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from ofi_cvd.harvest.messages import Message

RESTARTS_S: Final = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
HEALTHY_S: Final = 60.0  # who lived so long begins the row anew
READS: Final = 500  # messages taken at a time, so that a chatty child cannot keep the parent
_SPAWN: Final = multiprocessing.get_context("spawn")  # the same on every platform, and safe with threads

log = logging.getLogger(__name__)


class Restarts:
    """How long to wait before a child is started again.

    Example:
        >>> waits = Restarts()
        >>> waits.after(1.0), waits.after(1.0), waits.after(1.0), waits.after(3600.0)
        (0.0, 0.5, 1.0, 0.0)
    """

    def __init__(self) -> None:
        self._row = 0

    def after(self, lived_s: float) -> float:
        """Return the wait after a life of so many seconds."""
        self._row = 0 if lived_s >= HEALTHY_S else self._row
        self._row += 1
        return RESTARTS_S[min(self._row, len(RESTARTS_S)) - 1]


class Child:
    """One child process and the pipe to it.

    Args:
        name: for the log.
        target: what it runs; its last argument is its end of the pipe.
        arguments: asked for at every start.
        patience_s: it is taken for hung, and killed, after so many seconds without a message.

    Attributes:
        restarts: starts after the first.
        status: exit status of the last process that ended; None before.
        wish: what a process is told as soon as it is started.
    """

    def __init__(
        self,
        name: str,
        target: Callable[..., None],
        arguments: Callable[[], tuple[Any, ...]],
        *,
        patience_s: float,
    ) -> None:
        self.name, self._target, self._arguments = name, target, arguments
        self._patience_s = patience_s
        self._waits = Restarts()
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._started_s = self._heard_s = self._start_at_s = 0.0
        self.restarts = -1
        self.status: int | None = None
        self.wish = ""

    @property
    def pid(self) -> int | None:
        """Its process id; None while it does not run."""
        return self._process.pid if self._process else None

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def waits(self) -> list[Any]:
        """Return what to wait for: a message or an end."""
        return [item for item in (self._connection, self._process and self._process.sentinel) if item is not None]

    def start(self, now_s: float) -> None:
        """Start a process."""
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=self._target, args=(*self._arguments(), theirs), name=f"ofi-{self.name}")
        process.start()
        theirs.close()
        if self.wish:
            ours.send(self.wish)
        self._process, self._connection = process, ours
        self._started_s = self._heard_s = now_s
        self.restarts += 1
        log.info("harvest.child_started", extra={"child": self.name, "pid": process.pid, "restarts": self.restarts})

    def hear(self, now_s: float) -> Iterator[Message]:
        """Yield the messages that are there."""
        try:
            for _ in range(READS):
                if self._connection is None or not self._connection.poll():
                    return
                message = self._connection.recv()
                self._heard_s = now_s
                yield message
        except (EOFError, OSError):  # it has ended, in the middle of a message perhaps
            self._close()

    def tend(self, now_s: float) -> bool:
        """Note an end, kill a hung process, start again when it is time; True if the process ended just now."""
        if self._process is None:
            if now_s >= self._start_at_s:
                self.start(now_s)
            return False
        self.kill_if_hung(now_s)
        if self._process.exitcode is None:
            return False
        if self._connection is not None:
            return False  # its last words are not heard yet
        wait_s = self._waits.after(now_s - self._started_s)
        self._start_at_s = now_s + wait_s
        self.reap()
        return True

    def kill_if_hung(self, now_s: float) -> None:
        """Kill a process that has been silent for too long."""
        if self._process is not None and now_s - self._heard_s > self._patience_s:
            log.error("harvest.child_hung", extra={"child": self.name, "silent_s": round(now_s - self._heard_s)})
            self._process.kill()
            self._heard_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Return how long until the next start."""
        return max(0.0, self._start_at_s - now_s)

    def ask(self, wish: str) -> None:
        """Tell it what to do now, and whoever is started in its place."""
        self.wish = wish
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.send(wish)

    def has_ended(self) -> bool:
        """Return whether the process ended and was heard to the end; its status is known then."""
        if self._process is not None and self._process.exitcode is not None and self._connection is None:
            self.reap()
        return self._process is None

    def reap(self) -> None:
        """Forget a process that ended."""
        if self._process is not None:
            self._process.join()
            self.status = self._process.exitcode
            self._process.close()
        self._process = None
        self._close()

    def kill(self) -> None:
        """End it now, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self.reap()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
