"""Write the sample dataset of the package again: `make sample`. The same code gives the same files."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

from ofi_cvd.dataset.sample import SAMPLE_DIR
from ofi_cvd.publish.run import build
from ofi_cvd.settings import load
from ofi_cvd.simulator import simulate_spool

SYMBOLS: Final = ("ADAUSDT", "BNBUSDT")
SEED: Final = 11
PARAMETERS: Final = {"bucket_ms": 1000, "vol_min_secs": 300}


def write_sample(folder: Path) -> None:
    """Replace `folder` by the sample: twelve simulated minutes of two symbols, built with the settings above."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        simulate_spool(root / "spool", hours=0.2, symbols=SYMBOLS, seed=SEED, workers=1)
        folders = {"spool_dir": root / "spool", "data_dir": root / "data", "state_dir": root / "state"}
        options = {"symbols": ",".join(SYMBOLS), **folders, **PARAMETERS}
        build(load(options, environ={}, toml=root / "none.toml").settings, workers=1)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(root / "data", folder)


if __name__ == "__main__":
    write_sample(SAMPLE_DIR)
