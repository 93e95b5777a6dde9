"""Where child processes begin: the data libraries are loaded there and not in the parent, which needs none."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection

from ofi_cvd.harvest.messages import Task
from ofi_cvd.harvest.run import Run
from ofi_cvd.settings import Settings


def recorder(settings: Settings, connection: Connection) -> None:
    """Be the recorder."""
    from ofi_cvd.harvest.recorder import run_recorder  # noqa: PLC0415  # see the module

    run_recorder(settings, connection)


def builder(settings: Settings, run: Run, connection: Connection) -> None:
    """Be the builder: one thread, for the recorder shares the machine."""
    os.environ["POLARS_MAX_THREADS"] = "1"  # read when the library is loaded
    from ofi_cvd.harvest.builder import run_builder  # noqa: PLC0415  # see the module

    run_builder(settings, run, connection)


def reporter(settings: Settings, run: Run, task: Task, connection: Connection) -> None:
    """Write the reports of one task."""
    from ofi_cvd.harvest.reporter import run_reporter  # noqa: PLC0415  # see the module

    run_reporter(settings, run, task, connection)
