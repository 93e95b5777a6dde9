"""Children that die, hang or lose their parent, as processes of their own."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

import psutil
import pytest

from ofi_cvd.harvest.messages import Alive, Line, Message
from ofi_cvd.harvest.supervise import RESTARTS_S, Child, Restarts
from tests.harvest import children

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    made: list[Child] = []

    def make(target: Callable[..., None], patience_s: float = PATIENCE_S) -> Child:
        made.append(Child("test", target, tuple, patience_s=patience_s))
        made[-1].start(time.monotonic())
        return made[-1]

    yield make
    for one in made:
        one.kill()


def heard(one: Child, until: Callable[[list[Message]], bool], *, tend: bool = False) -> list[Message]:
    """Hear a child until its messages suffice."""
    messages: list[Message] = []
    end = time.monotonic() + PATIENCE_S
    while not until(messages):
        assert time.monotonic() < end, messages
        wait(one.waits(), 0.1)
        messages += one.hear(time.monotonic())
        if tend:
            one.tend(time.monotonic())
    return messages


def test_waits_grow_and_a_healthy_life_ends_the_row() -> None:
    waits = Restarts()
    assert [waits.after(1.0) for _ in range(9)] == [*RESTARTS_S, RESTARTS_S[-1], RESTARTS_S[-1]]
    assert [waits.after(3600.0), waits.after(0.1)] == list(RESTARTS_S[:2])


def test_a_child_ends_in_order_when_asked(child: Callable[..., Child]) -> None:
    one = child(children.steady)
    heard(one, lambda messages: any(isinstance(message, Alive) for message in messages))
    one.ask("stop")
    heard(one, lambda _: one.has_ended())
    assert one.status == 0


def test_what_a_child_says_last_is_heard(child: Callable[..., Child]) -> None:
    """An error of ours is one line and its exit status; any other leaves its trace."""
    one = child(children.refusing)
    [line] = heard(one, lambda _: one.has_ended())
    assert isinstance(line, Line)
    assert (line.level, one.status) == (logging.ERROR, 2)
    assert line.text.endswith('harvest.child_failed reason="expected this, found that"')
    one = child(children.crashing)
    [line] = heard(one, lambda _: one.has_ended())
    assert isinstance(line, Line)
    assert one.status == 1
    assert "harvest.child_crashed" in line.text
    assert "ZeroDivisionError" in line.text


def test_a_killed_child_is_started_again(child: Callable[..., Child]) -> None:
    one = child(children.steady)
    heard(one, bool)
    first = one.pid
    psutil.Process(first).kill()
    heard(one, lambda messages: one.restarts == 1 and bool(messages), tend=True)
    assert one.pid != first


def test_a_silent_child_is_taken_for_hung(child: Callable[..., Child], caplog: pytest.LogCaptureFixture) -> None:
    one = child(children.silent, patience_s=0.2)
    with caplog.at_level(logging.ERROR):
        heard(one, lambda _: one.restarts == 1, tend=True)
    assert [record.getMessage() for record in caplog.records][:1] == ["harvest.child_hung"]


def test_a_child_that_is_started_again_still_knows_what_it_is_to_do(child: Callable[..., Child]) -> None:
    """The builder that dies at the end of a run is replaced by one that finishes."""
    one = child(children.dies_once_asked)
    one.ask("finish")
    messages = heard(one, lambda _: one.restarts == 2, tend=True)
    assert [message.text for message in messages if message == Line(logging.INFO, "finish")] == ["finish", "finish"]


def test_a_parent_that_does_not_listen_costs_messages_and_no_time(child: Callable[..., Child], tmp_path: Path) -> None:
    mark = tmp_path / "sent"
    one = child(partial(children.chatty, mark))
    end = time.monotonic() + PATIENCE_S
    while not mark.exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    one.ask("stop")
    messages = heard(one, lambda _: one.has_ended())
    [line] = [message for message in messages if isinstance(message, Line)]
    assert int(line.text) > 0
    assert len(messages) - 1 + int(line.text) == children.MANY


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_signals_of_the_group_do_not_reach_a_child(child: Callable[..., Child]) -> None:
    one = child(children.steady)
    heard(one, bool)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(one.pid, number)
    heard(one, lambda messages: len(messages) > 3)
    one.ask("stop")
    heard(one, lambda _: one.has_ended())
    assert one.status == 0


def test_children_of_a_dead_parent_end_in_order(tmp_path: Path) -> None:
    mark = tmp_path / "ended"
    command = [sys.executable, "-m", "tests.harvest.children", str(mark)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    orphan.wait(PATIENCE_S)
    assert mark.read_text("utf-8") == "stop"
