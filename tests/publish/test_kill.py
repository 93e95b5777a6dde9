"""`ofi build` killed as a process: the next one goes on, and nothing is left of the first.

See docs/specification/index.md#promises, docs/specification/hours.md.
"""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ofi_cvd.simulator import simulate_spool
from tests.publish.pieces import hashes

ROOT = Path(__file__).parents[2]
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "spool"
    simulate_spool(folder, hours=1.3, symbols=SYMBOLS, seed=20, workers=1)
    return folder


def command(spool: Path, root: Path) -> list[str]:
    folders = {"--spool-dir": spool, "--data-dir": root / "data", "--state-dir": root / "state"}
    options = [str(word) for pair in folders.items() for word in pair]
    words = ["build", "--symbols", ",".join(SYMBOLS), "--slice", "60s", "--workers", "2"]
    return [sys.executable, "-m", "ofi_cvd", *words, *options]


def parts(data: Path) -> int:
    return sum(1 for _ in data.rglob("part-*.parquet"))


def test_kills_at_random_moments_leave_the_same_files(spool: Path, tmp_path: Path) -> None:
    """Three deaths at chance counts of parts; workers die with their parent, the last build ends with the same bytes."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run(command(spool, whole), cwd=ROOT, check=True, capture_output=True)
    wanted = hashes(whole / "data")
    assert len(wanted) > 400
    moments = sorted(random.Random(7).sample(range(1, len(wanted) - 50), 3))
    for moment in moments:
        with subprocess.Popen(
            command(spool, cut), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as build:
            for _ in itertools.count():
                if parts(cut / "data") >= moment or build.poll() is not None:
                    break
                time.sleep(0.002)
            assert build.poll() is None, "the build was through before it could be killed"
            workers = psutil.Process(build.pid).children(recursive=True)
            build.kill()
        _, alive = psutil.wait_procs(workers, timeout=30)
        assert alive == []
    subprocess.run(command(spool, cut), cwd=ROOT, check=True, capture_output=True)
    assert hashes(cut / "data") == wanted
