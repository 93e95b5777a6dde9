"""A whole harvest against the built-in exchange: what it costs, how late its slices are, what kills do to it.

The exchange is a process of its own. In the first half nothing is disturbed; in the second half the recorder, the
builder and the run itself are killed with SIGKILL at random moments, and the run is started again. At the end the
dataset is compared, bit for bit, with one batch build of the same spool.

    python benchmarks/harvest.py [--minutes 10] [--kills 10] [--symbols ...] [--rate 1] [--slice 60] [--seed 1]
    python benchmarks/harvest.py --minutes 75 --kills 0 --plain    # across a full hour, with the settings as they ship
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Final

import polars as pl
import psutil

from ofi_cvd.harvest.run import Run
from ofi_cvd.harvest.run import load as load_run
from ofi_cvd.publish.parts import current_parts, start_of
from ofi_cvd.publish.run import build
from ofi_cvd.schemas import KINDS, Kind
from ofi_cvd.settings import Settings, load

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.serving import serving  # noqa: E402  # run as a script, only this folder is on the path

SIX: Final = "BTCUSDT,ETHUSDT,BNBUSDT,XRPUSDT,ADAUSDT,SOLUSDT"
TARGETS: Final = ("recorder", "builder", "parent")
BEGIN_S: Final = 60.0
END_S: Final = 300.0
SAMPLE_S: Final = 0.5
# Windows of minutes instead of hours, so that every scenario can occur within a run of minutes.
SCALED: Final = {
    "WIN_SECS": "60", "VOL_MIN_SECS": "60", "VOL_LOOKBACK_SECS": "600", "ACTIVE_TPS": "q0.5", "SEAL_AFTER_SECS": "0",
}  # fmt: skip


@dataclass
class Bench:
    """A folder with a run in it.

    Attributes:
        kills: what was killed, with the seconds since the epoch.
        status: exit status of the run's last start.
    """

    folder: Path
    url: str
    symbols: str
    hours: float
    scaled: Mapping[str, str]
    kills: list[tuple[str, float]] = field(default_factory=list)
    status: int | None = None
    process: subprocess.Popen[bytes] | None = None

    def settings(self, **changes: object) -> Settings:
        """Return the settings of the run."""
        folders = {"spool_dir": "spool", "data_dir": "data", "state_dir": "state", "artifacts_dir": "artifacts"}
        options: dict[str, object] = {name: self.folder / folder for name, folder in folders.items()}
        options |= {name.lower(): value for name, value in self.scaled.items()}
        options |= {"symbols": self.symbols, "endpoint": self.url, "run_hours": self.hours}
        return load(options | changes, environ={}, toml=self.folder / "none.toml").settings

    def start(self) -> None:
        """Start the run, or continue it."""
        command = [sys.executable, "cli.py", "harvest", "--endpoint", self.url, "--symbols", self.symbols,
                   "--run-hours", str(self.hours)]  # fmt: skip
        for name, value in (
            ("SPOOL_DIR", "spool"), ("DATA_DIR", "data"), ("STATE_DIR", "state"), ("ARTIFACTS_DIR", "artifacts"),
        ):  # fmt: skip
            command += ["--set", f"{name}={self.folder / value}"]
        for name, text in (self.scaled | {"METRICS_ADDR": "127.0.0.1:0"}).items():
            command += ["--set", f"{name}={text}"]
        with (self.folder / "out.txt").open("ab") as out, (self.folder / "err.txt").open("ab") as err:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err)

    def log(self) -> str:
        """Return the log of the run so far."""
        return "".join(path.read_text("utf-8") for path in sorted((self.folder / "artifacts").glob("run_logs/*.log")))

    def run(self) -> Run:
        """Return the run's window, once it is known."""
        end = time.monotonic() + BEGIN_S
        while (run := load_run(self.folder / "state")) is None or "harvest.child_started" not in self.log():
            if time.monotonic() > end or (self.process and self.process.poll() is not None):
                raise SystemExit(f"expected a run to begin, found: {(self.folder / 'err.txt').read_text('utf-8')}")
            time.sleep(0.05)
        return run

    def metrics_url(self) -> str:
        """Return where the last start serves its metrics."""
        return re.findall(r"harvest\.metrics url=(\S+)", self.log())[-1]

    def running(self) -> subprocess.Popen[bytes]:
        """Return the process of the last start."""
        if self.process is None:
            raise SystemExit("expected a run that was started")
        return self.process

    def pid(self, target: str) -> int:
        """Return the process id of the run or of its last child of a name."""
        if target == "parent":
            return self.running().pid
        return int(re.findall(rf"child_started child={target} pid=(\d+)", self.log())[-1])

    def kill(self, target: str) -> None:
        """Kill a process of the run; the run itself is started again at once."""
        try:
            psutil.Process(self.pid(target)).kill()
        except psutil.NoSuchProcess:
            return  # it died a moment ago, with the one before
        self.kills.append((target, time.time()))
        if target == "parent":
            self.running().wait()
            self.start()

    def finish(self) -> int:
        """Wait for the end of the run; return its exit status."""
        left_s = max(0.0, self.run().end_ms / 1000 - time.time())
        self.status = self.running().wait(left_s + END_S)
        return self.status

    def close(self) -> None:
        """End what still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(END_S)


def kill_at_random(bench: Bench, run: Run, kills: int, dice: random.Random, from_share: float = 0.5) -> None:
    """Kill `kills` times between a share of the run and shortly before its end."""
    first, last = run.start_ms / 1000 + from_share * (run.end_ms - run.start_ms) / 1000, run.end_ms / 1000 - 5
    targets = [TARGETS[i % len(TARGETS)] for i in range(kills)]
    dice.shuffle(targets)
    for moment, target in zip(sorted(dice.uniform(first, last) for _ in range(kills)), targets, strict=True):
        time.sleep(max(0.0, moment - time.time()))
        bench.kill(target)


@dataclass
class Sampler:
    """Processor time, memory and new files of a run, looked at twice a second from outside.

    Attributes:
        cpu: last seen processor seconds by process.
        rss: sums over the processes of the run, MiB; `roles` by what the processes are.
        seen: when each part was first seen whole: its own time of writing, seconds since the epoch.
    """

    bench: Bench
    cpu: dict[tuple[int, float], float] = field(default_factory=dict)
    rss: list[float] = field(default_factory=list)
    marks: list[tuple[float, float]] = field(default_factory=list)
    seen: dict[tuple[str, str, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self._processes()
            self._parts()

    def _processes(self) -> None:
        total = 0.0
        try:
            parent = psutil.Process(self.bench.pid("parent"))
            family = [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for process in family:
            try:
                times, memory = process.cpu_times(), process.memory_info().rss
                self.cpu[process.pid, process.create_time()] = times.user + times.system
            except psutil.NoSuchProcess:
                continue
            total += memory / 2**20
        self.rss.append(total)
        self.marks.append((time.time(), sum(self.cpu.values())))

    def _parts(self) -> None:
        for folder in (self.bench.folder / "data").glob("date=*/symbol=*/kind=*"):
            symbol, kind = (part.partition("=")[2] for part in folder.parts[-2:])
            for entry in os.scandir(folder):
                start = start_of(entry.name)
                if start is not None and (symbol, kind, start) not in self.seen:
                    self.seen[symbol, kind, start] = entry.stat().st_mtime

    def cpu_share(self, start_s: float, end_s: float) -> float:
        """Return the processor time used between two moments, as a share of one core."""
        inside = [mark for mark in self.marks if start_s <= mark[0] <= end_s]
        return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])

    def delays(self, run: Run, end_ms: int) -> list[float]:
        """Return, per symbol and slice of the run that ends by `end_ms`, how long after its end all tables were there."""
        last: dict[tuple[str, int], float] = {}
        for (symbol, _, start), written in self.seen.items():
            if run.start_ms <= start and start + run.slice_ms <= end_ms:
                last[symbol, start] = max(last.get((symbol, start), 0.0), written - (start + run.slice_ms) / 1000)
        return sorted(last.values())


def batch_frames(bench: Bench) -> dict[Kind, pl.DataFrame]:
    """Build the spool once, in one go, elsewhere; return the tables."""
    elsewhere = bench.settings(data_dir=bench.folder / "batch", state_dir=bench.folder / "batch-state")
    build(elsewhere)
    return frames(elsewhere.data_dir)


def frames(data_dir: Path) -> dict[Kind, pl.DataFrame]:
    """Return the published tables, symbol by symbol in time order."""
    found = {}
    for kind in KINDS:
        parts = sorted(current_parts(data_dir, kinds=[kind]), key=lambda part: (part.symbol, part.start_ms))
        found[kind] = pl.concat(pl.read_parquet(part.path) for part in parts)
    return found


def differing(found: Mapping[Kind, pl.DataFrame], wanted: Mapping[Kind, pl.DataFrame]) -> list[str]:
    """Return the columns that are not the same, bit for bit; nulls and signs of zero count."""
    return [
        f"{kind}.{name}"
        for kind in KINDS
        for name in wanted[kind].columns
        if found[kind].height != wanted[kind].height or _bits(found[kind][name]) != _bits(wanted[kind][name])
    ]


def _bits(column: pl.Series) -> list[object]:
    if column.dtype != pl.Float64:
        return column.to_list()
    return [None if value is None else value.hex() for value in column.to_list()]


@contextmanager
def exchange(symbols: str, rate: float, seed: int, *faults: str) -> Iterator[str]:
    """Serve a simulated market in a process of its own; yield its address."""
    wanted = ("--simulate", "--seed", str(seed), "--rate", str(rate), "--symbols", symbols)
    with serving(*wanted, *(word for fault in faults for word in ("--fault", fault))) as url:
        yield url


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--symbols", default=SIX)
    parser.add_argument("--rate", type=float, default=1.0, help="market activity times so much")
    parser.add_argument("--slice", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="settings as they ship, not windows of minutes")
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ofi-harvest-"))
    try:
        with exchange(chosen.symbols, chosen.rate, chosen.seed) as url:
            scaled = ({} if chosen.plain else SCALED) | {"PARQUET_ROTATE_SEC": str(chosen.slice)}
            _measure(Bench(folder, url, chosen.symbols, chosen.minutes / 60, scaled), chosen.kills, chosen.seed)
    finally:
        if chosen.keep:
            print(folder)
        else:
            shutil.rmtree(folder)


def _measure(bench: Bench, kills: int, seed: int) -> None:
    bench.start()
    try:
        run, sampler = bench.run(), Sampler(bench)
        kill_at_random(bench, run, kills, random.Random(seed))  # noqa: S311  # moments of a test bench
        status = bench.finish()
        sampler.stop()
    finally:
        bench.close()
    start_s, end_s = run.start_ms / 1000, run.end_ms / 1000
    half_s = start_s + (end_s - start_s) / 2 if kills else end_s
    print(f"exit status {status}; {_verdict(bench)}", flush=True)
    differs = differing(frames(bench.folder / "data"), batch_frames(bench))
    killed = ", ".join(target for target, _ in bench.kills) or "nothing"
    print(
        f"{(end_s - start_s) / 60:g} minutes, {len(run.symbols)} symbols, slices of {run.slice_ms // 1000} s; killed: {killed}"
    )
    print(f"{'':34}{'undisturbed':>14}{'whole run':>14}")
    _row("processor, share of one core", *(f"{sampler.cpu_share(start_s, to):.1%}" for to in (half_s, end_s)))
    inside = [rss for rss, (at, _) in zip(sampler.rss, sampler.marks, strict=True) if start_s <= at <= half_s]
    _row("memory, mean of the sums of RSS", f"{mean(inside):.0f} MiB", f"{mean(sampler.rss):.0f} MiB")
    _row("memory, highest", f"{max(inside):.0f} MiB", f"{max(sampler.rss):.0f} MiB")
    columns = [sampler.delays(run, round(to * 1000)) for to in (half_s - 10, end_s)]
    _row("slices looked at", *(str(len(delays)) for delays in columns))
    for name, pick in (("median", median), ("p99", _p99), ("latest", max)):
        _row(f"slice delay, {name}", *(f"{pick(delays):.2f} s" if delays else "-" for delays in columns))
    print(f"columns that differ from one batch build: {', '.join(differs) or 'none'}")
    if differs:
        raise SystemExit(1)


def _row(name: str, *cells: str) -> None:
    print(f"{name:34}" + "".join(f"{cell:>14}" for cell in cells))


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0]


def _verdict(bench: Bench) -> str:
    return next(
        iter(re.findall(r"^(?:PASS|FAIL): .*$", (bench.folder / "out.txt").read_text("utf-8"), re.MULTILINE)),
        "no verdict",
    )


if __name__ == "__main__":
    main()
