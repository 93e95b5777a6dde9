"""Wall time and peak memory of `ofi analyze` on a given dataset.

    python benchmarks/analyze.py data/ofi_cvd [options of ofi analyze]

Peak memory is the largest sum of the resident sizes of the command and its workers, looked at ten times a second.
Floor: 72 hours of six symbols in under five minutes and 4 GiB on two cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

LOOK_EVERY_S = 0.1
GIB = 2**30


def resident_bytes(process: psutil.Process) -> int:
    """Return the resident size of a process and its children; 0 for those that have ended."""
    total = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def main() -> int:
    """Run the command, print its figures, and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    chosen, extra = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        door = str(Path(__file__).parents[1] / "cli.py")
        command = [sys.executable, door, "analyze", "--data-dir", str(chosen.dataset), "--artifacts-dir", folder]
        begun = time.perf_counter()
        child = subprocess.Popen([*command, *extra])
        peak, watched = 0, psutil.Process(child.pid)
        while child.poll() is None:
            peak = max(peak, resident_bytes(watched))
            time.sleep(LOOK_EVERY_S)
        wall = time.perf_counter() - begun
    spent = os.times()
    cpu = spent.children_user + spent.children_system  # 0 where the platform does not say
    print(
        f"wall {wall:.1f} s, processor {cpu:.0f} s, peak resident {peak / GIB:.2f} GiB, exit status {child.returncode}"
    )
    return child.returncode


if __name__ == "__main__":
    sys.exit(main())
