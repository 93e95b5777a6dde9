"""How long `ofi dq` takes for 72 hours of six symbols: made-up published rows, then the command, page included.

python benchmarks/dq.py [--hours 72] [--runs 3]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.quality.synthetic import Market, publish  # the project's root has to be on the path first

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "XRPUSDT", "ADAUSDT", "SOLUSDT")


def main() -> None:
    """Print one line a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=72)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    market = Market(symbols=SYMBOLS, hours=options.hours, tps=6, events_per_hour=40)
    with tempfile.TemporaryDirectory(prefix="ofi-dq-") as folder:
        root = Path(folder)
        publish(root, market)
        window = ("--symbols", ",".join(SYMBOLS))  # the run is what the ledger tells
        places = (
            "--data-dir",
            "ofi_cvd",
            "--spool-dir",
            "spool",
            "--state-dir",
            "state",
            "--artifacts-dir",
            "artifacts",
        )
        for _ in range(options.runs):
            began = time.perf_counter()
            command = [sys.executable, "-c", "from ofi_cvd.cli import main; main()", "dq", *window, *places]
            done = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)
            said = (done.stdout or done.stderr).strip().splitlines()[0]
            print(f"{time.perf_counter() - began:.1f} s, exit {done.returncode}: {said}")


if __name__ == "__main__":
    main()
