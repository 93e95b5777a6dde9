"""A builder that hangs does not disturb the recorder; a run that is interrupted ends in order and is continued."""

from __future__ import annotations

import json
import signal
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchmarks.harvest import Bench, batch_frames, differing, exchange, frames
from ofi_cvd.harvest.run import load
from ofi_cvd.spool.layout import list_files
from ofi_cvd.spool.ledger import read_ledger
from tests.harvest.test_harvest import FAST

PATIENCE_S = 60.0
LAG_S = 6.0


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def recorded(bench: Bench) -> int:
    return sum(file.plain.stat().st_size for file in list_files(bench.settings().spool_dir) if file.plain)


def metric(bench: Bench, name: str) -> float:
    text = urllib.request.urlopen(bench.metrics_url()).read().decode()
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_builder_that_hangs_and_a_run_that_is_interrupted(tmp_path: Path) -> None:
    with exchange("BTCUSDT", 2, 3) as url:
        bench = Bench(tmp_path, url, "BTCUSDT", 1.0, FAST | {"PARQUET_ROTATE_SEC": "2"})
        bench.start()
        try:
            run = bench.run()
            until(lambda: "harvest.built" in bench.log() and time.time() * 1000 > run.start_ms + 2 * run.slice_ms)
            builder = psutil.Process(bench.pid("builder"))
            builder.suspend()
            before = recorded(bench)
            until(lambda: metric(bench, "build_lag_sec") > LAG_S)
            assert recorded(bench) > before + 10_000
            builder.resume()
            until(lambda: metric(bench, "build_lag_sec") < LAG_S)
            bench.running().send_signal(signal.SIGINT)
            status = bench.finish()
        finally:
            bench.close()
    settings = bench.settings()
    assert {row["event"] for row in read_ledger(settings.spool_dir)} >= {"connect", "shutdown"}
    assert not [row for row in read_ledger(settings.spool_dir) if row["event"] == "gap"]
    [path] = settings.artifacts_dir.glob("run_summary_*.json")
    summary = json.loads(path.read_text("utf-8"))
    assert (summary["run"]["complete"], summary["run"]["planned_end_ms"]) == (False, run.end_ms)
    assert run.start_ms < summary["run"]["end_ms"] < run.end_ms
    assert status == (0 if summary["passed"] else 1)
    assert next(gate for gate in summary["gates"] if gate["name"] == "slices_complete")["passed"]
    assert "the same command continues" in (tmp_path / "out.txt").read_text("utf-8")
    kept = load(settings.state_dir)
    assert kept is not None
    assert (kept.start_ms, kept.finished) == (run.start_ms, False)
    assert differing(frames(settings.data_dir), batch_frames(bench)) == []
