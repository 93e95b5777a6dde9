"""Being asked to stop: the same on every platform, and undone when the work is over."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def ignore_interrupts() -> None:
    """Let a worker process leave Ctrl-C to the process that started it, which ends it without a trace."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def stop_signals(ask: Callable[[], None]) -> Iterator[None]:
    """Call `ask` for every SIGINT, SIGTERM or, on Windows, SIGBREAK while the block runs.

    Plain handlers rather than an event loop's: they exist on every platform.
    """

    def handle(_number: int, _frame: FrameType | None) -> None:
        ask()

    names = [name for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), handle) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
