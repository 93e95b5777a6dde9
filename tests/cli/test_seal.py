"""`ofi seal`: what it prints and what it leaves."""

from __future__ import annotations

import json
import time
from pathlib import Path

from typer.testing import CliRunner

from ofi_cvd.cli import app
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.spool.layout import list_files
from ofi_cvd.spool.writer import SpoolWriter


def spool_with(root: Path, recv_ns: int) -> None:
    with SpoolWriter(root) as writer:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            writer.append(symbol, "trade", recv_ns, b'{"n":1}')


def run(*args: str | Path) -> str:
    return CliRunner().invoke(app, ["seal", *map(str, args)], catch_exceptions=False).output


def test_old_hours_are_sealed_once(tmp_path: Path) -> None:
    spool_with(tmp_path, 1_721_347_200_000_000_000)
    assert "1 files sealed" in run("--spool-dir", tmp_path, "--symbols", "ETHUSDT")
    facts = json.loads(run("--spool-dir", tmp_path, "--json"))
    assert facts["outcomes"] == {"sealed": 1}
    assert facts["plain_bytes"] == 8
    assert all(file.plain is None and file.sealed is not None for file in list_files(tmp_path))
    assert "nothing to seal" in run("--spool-dir", tmp_path)


def test_the_current_hour_stays_open(tmp_path: Path) -> None:
    """An hour ahead, so that a test that runs across the hour sees the same."""
    spool_with(tmp_path, time.time_ns() + HOUR_MS * 10**6)
    assert "nothing to seal" in run("--spool-dir", tmp_path, "--now")
    assert all(file.sealed is None for file in list_files(tmp_path))
