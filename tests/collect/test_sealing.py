"""Sealing beside the recording, in a process of its own."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from ofi_cvd.collect.sealing import seal_in_background
from ofi_cvd.common.times import HOUR_NS
from ofi_cvd.spool.layout import list_files
from ofi_cvd.spool.ledger import read_ledger
from ofi_cvd.spool.line import splice
from ofi_cvd.spool.writer import SpoolWriter


async def test_hours_that_are_over_are_sealed_and_the_open_one_is_left(tmp_path: Path) -> None:
    now_ns = time.time_ns()
    with SpoolWriter(tmp_path) as writer:
        for recv_ns in (now_ns - 3 * HOUR_NS, now_ns):
            writer.append("BTCUSDT", "aggTrade", recv_ns, splice(recv_ns, "m1", b'{"stream":"btcusdt@aggTrade"}'))
    sealing = asyncio.create_task(seal_in_background(tmp_path, 60))
    async with asyncio.timeout(30):
        while not [row for row in read_ledger(tmp_path) if row["event"] == "seal"] or list_files(tmp_path)[0].plain:  # noqa: ASYNC110  # another process seals
            await asyncio.sleep(0.05)
    sealing.cancel()
    await asyncio.gather(sealing, return_exceptions=True)
    old, new = list_files(tmp_path)
    assert (old.plain, new.sealed) == (None, None)
