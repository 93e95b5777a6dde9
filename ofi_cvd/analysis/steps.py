"""How far a run is: each step is told when it is over, also from processes of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from multiprocessing.synchronize import Lock

from ofi_cvd.common.signals import ignore_interrupts

Tell = Callable[[str], None]
_POLL_S = 0.2


class _Line:
    """The way from a worker to the run, set once when the worker begins."""

    tell: Tell | None = None


def begin_worker(sender: Connection | None, lock: Lock | None) -> None:
    """Set up a worker: it leaves interrupts to the run, and tells its steps into the pipe if there is one."""
    ignore_interrupts()
    if sender is not None and lock is not None:

        def tell(step: str) -> None:
            with lock:
                sender.send(step)

        _Line.tell = staticmethod(tell)


def tell_run(step: str) -> None:
    """Tell the run of a step, from a worker."""
    if _Line.tell is not None:
        _Line.tell(step)


@contextmanager
def listening(context: SpawnContext, tell: Tell | None) -> Iterator[tuple[Connection | None, Lock | None]]:
    """Give what `begin_worker` takes; pass on to `tell` what workers say until the block ends.

    The run itself never takes the lock: a worker that was killed with it cannot stop the run from ending.
    """
    if tell is None:
        yield None, None
        return
    receiver, sender = context.Pipe(duplex=False)
    over = threading.Event()

    def pass_on() -> None:
        while receiver.poll(0 if over.is_set() else _POLL_S) or not over.is_set():
            if receiver.poll(0):
                tell(receiver.recv())

    thread = threading.Thread(target=pass_on, daemon=True)
    thread.start()
    try:
        yield sender, context.Lock()
    finally:
        over.set()
        thread.join()
        sender.close()
        receiver.close()
