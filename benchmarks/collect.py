"""How many frames a second reach the disk, against a bare receive loop that appends the same bytes.

One sender process (`ofi exchange --flood`) serves both in turn, flat out: it waits for the slowest client, so the rate
is the client's. Then a burst at a fixed rate: latency from socket to fsync, memory, and loss.

    python benchmarks/collect.py [--seconds 10] [--rounds 3] [--burst SECONDS] [--soak MINUTES]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median
from urllib.request import urlopen

import psutil
from websockets.asyncio.client import connect

SYMBOLS = "BTCUSDT,ETHUSDT,SOLUSDT"
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.serving import serving  # noqa: E402  # run as a script, only this folder is on the path


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--burst", type=float, default=0.0, help="seconds at 5,000 frames/s")
    parser.add_argument("--soak", type=float, default=0.0, help="minutes at 5,000 frames/s")
    parser.add_argument("--floor", nargs=3, metavar=("URL", "DIR", "SECONDS"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.floor:
        url, folder, seconds = chosen.floor
        print(json.dumps(asyncio.run(bare_loop(url, Path(folder), float(seconds)))))
        return
    if chosen.rounds:
        throughput(chosen.seconds, chosen.rounds)
    for minutes in (chosen.burst / 60, chosen.soak):
        if minutes:
            burst(minutes * 60)


def throughput(seconds: float, rounds: int) -> None:
    """Print the recorder's rate and the floor's, in turn, from the same sender."""
    ours, floor, memory = [], [], []
    with sender("max") as url:
        for number in range(1, rounds + 1):
            floor.append(measure_floor(url, seconds))
            frames, rss = measure_recorder(url, seconds)
            ours.append(frames)
            memory.append(rss)
            print(f"round {number}: recorder {ours[-1]:>9,.0f} frames/s   bare loop {floor[-1]:>9,.0f} frames/s   "
                  f"recorder's peak RSS {rss / 2**20:.0f} MiB", flush=True)  # fmt: skip
    print(f"recorder, median     {median(ours):>9,.0f} frames/s to disk, nothing lost")
    print(f"bare loop, median    {median(floor):>9,.0f} frames/s")
    print(f"recorder / bare loop {median(ours) / median(floor):>9.0%}")
    print(f"peak RSS             {max(memory) / 2**20:>9.0f} MiB")


def burst(seconds: float) -> None:
    """Print what a long burst of 2,000 trades and 3,000 quotes a second does to latency and memory."""
    with sender("5000", symbols="BTCUSDT") as url, spool_dir() as spool:
        process = start_recorder(url, spool, "BTCUSDT")
        samples, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(5.0, seconds / 10))
            samples.append(process_rss(process))
        stop(process)
        facts = outcome(spool)
    quarter = max(1, len(samples) // 4)
    print(f"burst of {seconds:.0f} s: {facts['frames']:,} frames, {facts['rate']:,.0f}/s, missing {facts['missing']}, "
          f"dropped {facts['dropped']}, socket to fsync p50 {facts['p50']} ms, p99 {facts['p99']} ms")  # fmt: skip
    print(f"RSS MiB: first quarter {median(samples[:quarter]) / 2**20:.0f}, "
          f"last quarter {median(samples[-quarter:]) / 2**20:.0f}, peak {max(samples) / 2**20:.0f}")  # fmt: skip


def sender(rate: str, symbols: str = SYMBOLS) -> AbstractContextManager[str]:
    """Run the exchange as a process of its own, for as long as the context lasts; it yields its URL."""
    return serving("--flood", rate, "--symbols", symbols)


@contextmanager
def spool_dir() -> Iterator[Path]:
    """Yield a folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="ofi-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def start_recorder(url: str, spool: Path, symbols: str = SYMBOLS) -> subprocess.Popen[bytes]:
    """Start `ofi collect`."""
    command = [sys.executable, "cli.py", "collect", "--endpoint", url, "--symbols", symbols, "--spool-dir", str(spool),
               "--set", "BOOK_STREAMS=bookTicker", "--set", "SEAL_AFTER_SECS=0"]  # fmt: skip
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the recorder to end."""
    process.terminate()
    if status := process.wait(10):
        raise SystemExit(f"the recorder ended with status {status}")


def measure_recorder(url: str, seconds: float) -> tuple[float, int]:
    """Return frames a second on the disk and the peak resident memory."""
    with spool_dir() as spool:
        process = start_recorder(url, spool)
        peak, end = 0, time.monotonic() + seconds + 2.0
        while time.monotonic() < end:
            time.sleep(0.2)
            peak = max(peak, process_rss(process))
        stop(process)
        facts = outcome(spool)
    if facts["missing"] or facts["dropped"]:
        raise SystemExit(f"lost: {facts}")
    return facts["rate"], peak


def measure_floor(url: str, seconds: float) -> float:
    """Return frames a second of the bare loop."""
    with spool_dir() as folder:
        command = [sys.executable, __file__, "--floor", url, str(folder), str(seconds)]
        return float(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["rate"])


async def bare_loop(url: str, folder: Path, seconds: float) -> dict[str, float]:
    """Receive on the same two routes and append every message; nothing else."""
    names = [symbol.lower() for symbol in SYMBOLS.split(",")]
    counts = [0, 0]
    started: list[float] = []

    async def receive(index: int, route: str, stream: str) -> None:
        streams = "/".join(f"{name}@{stream}" for name in names)
        with (folder / f"{stream}.ndjson").open("ab") as file:
            async with connect(f"ws{url[4:]}/{route}/stream?streams={streams}", compression=None, max_queue=4096) as ws:
                while True:
                    message = await ws.recv(decode=False)
                    file.write(message + b"\n")
                    if not counts[index]:
                        started.append(time.monotonic())
                    counts[index] += 1

    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(receive(0, "market", "aggTrade"), receive(1, "public", "bookTicker"))
    except TimeoutError:
        pass
    return {"rate": sum(counts) / (time.monotonic() - min(started)), "frames": sum(counts)}


def outcome(spool: Path) -> dict:
    """Return what the disk says: frames, their rate by receipt, trade ids missing, and the recorder's own figures."""
    frames, missing, first_ns, last_ns = 0, 0, 2**63, 0
    for path in spool.rglob("*USDT.*.ndjson"):
        last_id = None
        for line in path.open("rb"):
            frames += 1
            recv_ns = int(line[11:30])
            first_ns, last_ns = min(first_ns, recv_ns), max(last_ns, recv_ns)
            if b".aggTrade." in os.fsencode(path.name):
                at = line.index(b'"a":') + 4
                trade_id = int(line[at : line.index(b",", at)])
                missing += 0 if last_id is None else trade_id - last_id - 1
                last_id = trade_id
    ledger = [json.loads(line) for path in spool.rglob("_ledger.ndjson") for line in path.open("rb")]
    end = next(row for row in ledger if row["event"] == "shutdown")
    seconds = (last_ns - first_ns) / 1e9
    return {"frames": frames, "rate": frames / seconds, "missing": missing, "dropped": end["dropped"],
            "p50": end["durable_ms_p50"], "p99": end["durable_ms_p99"]}  # fmt: skip


def process_rss(process: subprocess.Popen[bytes]) -> int:
    """Return the resident memory of a process; 0 once it is gone."""
    try:
        return int(psutil.Process(process.pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def status(url: str) -> dict:
    """Return what the exchange says about itself."""
    with urlopen(f"{url}/status") as answer:  # noqa: S310  # our own loopback URL
        return json.load(answer)


if __name__ == "__main__":
    main()
