"""The child's end of a run: messages to the parent without ever waiting for it, and its wish, or its death, to stop."""

from __future__ import annotations

import contextlib
import logging
import queue
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Final, Self

from ofi_cvd.common.logs import FactsFormatter
from ofi_cvd.errors import OfiCvdError
from ofi_cvd.harvest.messages import STOP, Line, Message

QUEUE: Final = 2000
_LAST_S: Final = 5.0


class Channel:
    """Both directions of the pipe, each served by a thread; a context manager that turns errors into the exit status.

    A parent that does not listen costs messages, never time: the queue is bounded and what does not fit is dropped.

    Attributes:
        asked: set once the child should end.
        wish: what was asked for; `stop` also if the parent is gone.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._queue: queue.Queue[Message | None] = queue.Queue(QUEUE)
        self._callbacks: list[Callable[[], None]] = []
        self.asked = threading.Event()
        self.wish = ""
        self.lost = 0

    def __enter__(self) -> Self:
        for name in ("SIGINT", "SIGTERM", "SIGBREAK"):  # they reach the whole group; the parent decides what follows
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        self._sender = threading.Thread(target=self._send, name="to-parent", daemon=True)
        self._sender.start()
        threading.Thread(target=self._listen, name="from-parent", daemon=True).start()
        handler = _ToParent(self)
        handler.setFormatter(FactsFormatter())
        logging.getLogger().addHandler(handler)
        logging.getLogger("ofi_cvd").setLevel(logging.INFO)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = 0
        if isinstance(error, OfiCvdError):
            logging.getLogger(__name__).error("harvest.child_failed", extra={"reason": str(error)})
            status = error.exit_code
        elif error is not None:
            logging.getLogger(__name__).error("harvest.child_crashed", exc_info=error)
            status = 1
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=_LAST_S)
        self._sender.join(_LAST_S)
        sys.exit(status)

    @property
    def waiting(self) -> int:
        """Messages not sent yet."""
        return self._queue.qsize()

    def send(self, message: Message) -> None:
        """Queue a message; dropped if the parent has not listened for long."""
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self.lost += 1

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call `callback`, from another thread, once the child should end; at once if it should already."""
        self._callbacks.append(callback)
        if self.asked.is_set():
            callback()

    def _send(self) -> None:
        while (message := self._queue.get()) is not None:
            try:
                self._connection.send(message)
            except OSError:
                return  # the parent is gone: the other thread finds out as well

    def _listen(self) -> None:
        try:
            self.wish = self._connection.recv()
        except (EOFError, OSError):
            self.wish = STOP
        self.asked.set()
        for callback in self._callbacks:
            callback()


class _ToParent(logging.Handler):
    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        self._channel.send(Line(record.levelno, self.format(record)))
