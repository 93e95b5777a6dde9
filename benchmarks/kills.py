"""Kill the recorder with SIGKILL at random moments while it records, and measure what that costs.

The exchange is a process of its own and sends 2,000 frames/s (800 trades, 1,200 quotes). After the last kill the
recorder runs on until everything is repaired, then the disk is checked: no trade id missing or twice, every line whole
but for the one each kill may have cut, every hole of the quotes in the ledger.

    python benchmarks/kills.py [--kills 20] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.serving import serving  # noqa: E402  # run as a script, only this folder is on the path

RATE = 2000
QUOTES = "bookTicker"
PATIENCE_S = 60.0


@dataclass
class Report:
    """What the disk says.

    Attributes:
        lost_s: per kill, from the newest receipt on the disk to the kill: what the crash cost, in seconds of data.
        trades: ids stored; `missing`, `twice`, `repaired` of them.
        torn: lines that are no JSON.
        holes: holes in the quotes' ids; `untold` those that no ledger record covers.
    """

    lost_s: list[float] = field(default_factory=list)
    trades: int = 0
    missing: int = 0
    twice: int = 0
    repaired: int = 0
    torn: int = 0
    quotes: int = 0
    holes: int = 0
    untold: int = 0


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    spool = Path(tempfile.mkdtemp(prefix="ofi-kills-"))
    try:
        report = run_kills(spool, chosen.kills, chosen.seed)
    finally:
        shutil.rmtree(spool)
    lost = [1000 * value for value in report.lost_s]
    print(f"{chosen.kills} kills at {RATE} frames/s")
    print(f"crash loss: median {median(lost):.0f} ms, worst {max(lost):.0f} ms of data not yet given to the system")
    print(f"trade ids: {report.trades} stored, {report.repaired} of them repaired, {report.missing} missing, "
          f"{report.twice} twice")  # fmt: skip
    print(f"torn lines: {report.torn} (at most one a kill and stream)")
    print(f"quotes: {report.quotes} stored, {report.holes} holes, {report.untold} of them not in the ledger")


def run_kills(spool: Path, kills: int, seed: int) -> Report:
    """Record, kill, restart, and check the disk."""
    dice, report = random.Random(seed), Report()  # noqa: S311  # moments of a test bench
    with serving("--flood", str(RATE), "--symbols", "BTCUSDT") as url:
        for _ in range(kills):
            process = _recorder(url, spool)
            try:
                size = _size(spool)
                _wait(lambda before=size: _size(spool) > before + 100_000)
                time.sleep(dice.uniform(0.0, 1.5))
            finally:
                killed_ns = time.time_ns()
                process.kill()
                process.wait()
            report.lost_s.append((killed_ns - _newest_ns(spool)) / 1e9)
        process = _recorder(url, spool)
        try:
            size = _size(spool)
            _wait(lambda: _size(spool) > size + 100_000)
            _wait(lambda: _repairs_done(spool), every_s=0.5)
        finally:
            process.terminate()
            status = process.wait(30)
        if status:
            raise SystemExit(f"the recorder ended with status {status}")
    _check(spool, report)
    return report


def _check(spool: Path, report: Report) -> None:
    trades: list[int] = []
    for path in sorted(spool.rglob("BTCUSDT.aggTrade*.ndjson")):
        rows = _rows(path, report)
        trades += [row["data"]["a"] for row in rows]
        report.repaired += len(rows) if ".repair." in path.name else 0
    trades.sort()
    report.trades, report.twice = len(trades), len(trades) - len(set(trades))
    report.missing = trades[-1] - trades[0] + 1 - len(set(trades))
    quotes = [row for path in sorted(spool.rglob(f"BTCUSDT.{QUOTES}.ndjson")) for row in _rows(path, report)]
    report.quotes = len(quotes)
    gaps = [
        row
        for path in spool.rglob("_ledger.ndjson")
        for row in map(json.loads, path.read_bytes().splitlines())
        if row["event"] == "gap" and row["stream"] == QUOTES
    ]
    for before, after in pairwise(quotes):
        if after["data"]["u"] != before["data"]["u"] + 1:
            report.holes += 1
            start_ms, end_ms = before["recv_ns"] // 1_000_000, after["recv_ns"] // 1_000_000
            report.untold += not any(gap["start_ms"] <= start_ms and gap["end_ms"] >= end_ms for gap in gaps)


def _rows(path: Path, report: Report) -> list[dict]:
    rows = []
    for line in path.read_bytes().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            report.torn += 1
    return rows


def _newest_ns(spool: Path) -> int:
    newest = 0
    for path in spool.rglob("BTCUSDT.*.ndjson"):
        if ".repair." not in path.name:
            lines = path.read_bytes()[-4096:].splitlines()
            newest = max([newest, *(int(line[11:30]) for line in lines if line.startswith(b'{"recv_ns":'))])
    return newest


def _repairs_done(spool: Path) -> bool:
    """Return whether the disk has every trade id that the ledger ever called missing, and there were some.

    A kill may come between a repair and the record of it: what counts is the disk.
    """
    gone: set[int] = set()
    for path in spool.rglob("_ledger.ndjson"):
        rows = map(json.loads, path.read_bytes().splitlines())
        for row in [row for row in rows if row["stream"] == "aggTrade" and row["event"] == "gap"]:
            gone.update(range(row["expected"], row["received"]))
    if not gone:
        return False
    for path in spool.rglob("BTCUSDT.aggTrade.repair.ndjson"):
        gone.difference_update(row["data"]["a"] for row in _rows(path, Report()))
    return not gone


def _size(spool: Path) -> int:
    return sum(path.stat().st_size for path in spool.rglob("BTCUSDT.*.ndjson"))


def _wait(done: Callable[[], bool], every_s: float = 0.05) -> None:
    end = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > end:
            raise SystemExit("expected the recorder to get on, found it stuck")
        time.sleep(every_s)


def _recorder(url: str, spool: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "cli.py", "collect", "--endpoint", url, "--symbols", "BTCUSDT", "--spool-dir", str(spool),
               "--set", f"BOOK_STREAMS={QUOTES}", "--set", "SEAL_AFTER_SECS=0"]  # fmt: skip
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
