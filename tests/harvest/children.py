"""What the children of the supervisor's tests do; a process started anew imports it by name."""

from __future__ import annotations

import logging
import os
import sys
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from ofi_cvd.errors import UsageError
from ofi_cvd.harvest.child import Channel
from ofi_cvd.harvest.messages import Alive, Line
from ofi_cvd.harvest.supervise import Child

MANY = 30_000  # more than the pipe and the queue hold


def steady(connection: Connection) -> None:
    with Channel(connection) as channel:
        while not channel.asked.wait(0.02):
            channel.send(Alive())


def refusing(connection: Connection) -> None:
    with Channel(connection):
        raise UsageError("expected this, found that")


def crashing(connection: Connection) -> None:
    with Channel(connection):
        _ = 1 / 0


def silent(connection: Connection) -> None:
    with Channel(connection) as channel:
        channel.asked.wait()


def dies_once_asked(connection: Connection) -> None:
    with Channel(connection) as channel:
        channel.asked.wait()
        channel.send(Line(logging.INFO, channel.wish))
        raise UsageError("dead")


def chatty(mark: Path, connection: Connection) -> None:
    with Channel(connection) as channel:
        for _ in range(MANY):
            channel.send(Alive())
        mark.touch()
        channel.asked.wait()
        while channel.waiting:
            time.sleep(0.01)
        channel.send(Line(logging.INFO, str(channel.lost)))


def orphan(mark: Path, connection: Connection) -> None:
    with Channel(connection) as channel:
        channel.asked.wait()
        mark.write_text(channel.wish, "utf-8")


if __name__ == "__main__":
    from tests.harvest import children

    child = Child("orphan", partial(children.orphan, Path(sys.argv[1])), tuple, patience_s=60.0)
    child.start(time.monotonic())
    print(child.pid, flush=True)  # noqa: T201
    time.sleep(60)
    os._exit(1)
