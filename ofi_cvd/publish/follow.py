"""`ofi build --follow`: builds again as the spool grows, slices as they become known."""

from __future__ import annotations

import time
from collections.abc import Callable

from ofi_cvd.errors import RunError, UsageError
from ofi_cvd.publish.run import build
from ofi_cvd.publish.slices import Window
from ofi_cvd.settings import Settings


def follow(
    settings: Settings,
    *,
    slice_secs: int,
    window: Window,
    say: Callable[[str], None],
    wait: Callable[[float], None] = time.sleep,
    rounds: int | None = None,
) -> None:
    """Build, wait a slice, build again, until interrupted.

    A round that fails is said and tried again at the next: what is due stays due.

    Args:
        settings: parameters and folders.
        slice_secs: length of slices.
        window: the slices to publish.
        say: takes a line about each round that published something or failed.
        wait: sleeps; tests hand in their own.
        rounds: how many; None for no end.
    """
    done = 0
    while rounds is None or done < rounds:
        began = time.monotonic()
        try:
            report = build(settings, slice_secs=slice_secs, window=window, live=True)
        except (RunError, UsageError) as error:
            say(f"build.failed {error}")
        else:
            rows = sum(sum(kinds.values()) for kinds in report.rows.values())
            if report.hours:
                say(f"build.published symbols={len(report.hours)} rows_of_open_hours={rows}")
        done += 1
        if rounds is None or done < rounds:
            wait(max(0.0, slice_secs - (time.monotonic() - began)))
