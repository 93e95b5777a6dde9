"""Sealing of hours that are over, beside the recording: another process, of low priority, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import OfiCvdError
from ofi_cvd.spool.seal import seal_closed_hours

log = logging.getLogger(__name__)


async def seal_in_background(spool: Path, after_s: int) -> None:
    """Seal once now and then `after_s` seconds after every full hour, until cancelled.

    A seal that fails is tried again an hour later; the plain files it leaves are as good as sealed ones.
    """
    while True:
        await _seal_once(spool, after_s)
        now_s = time.time()
        hour_s = HOUR_MS / 1000
        await asyncio.sleep((now_s - after_s) // hour_s * hour_s + hour_s + after_s - now_s + 1.0)


async def _seal_once(spool: Path, after_s: int) -> None:
    flags = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ofi_cvd.collect.sealing", str(spool), str(after_s),
        stdin=subprocess.DEVNULL, creationflags=flags,
    )  # fmt: skip
    try:
        status = await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()  # a seal may be interrupted anywhere
        await process.wait()
        raise
    if status:
        log.warning("collect.seal_failed", extra={"status": status})


def main() -> None:
    """Seal the spool named first on the command line, hours over for as many seconds as named second."""
    if hasattr(os, "nice"):
        os.nice(10)
    spool, after_s = Path(sys.argv[1]), int(sys.argv[2])
    try:
        seal_closed_hours(spool, grace_ms=after_s * 1000)
    except OfiCvdError as error:
        sys.exit(f"ofi: {error}")


if __name__ == "__main__":
    main()
