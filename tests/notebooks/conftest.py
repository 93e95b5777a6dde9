"""Datasets for the notebooks: a simulated market, and the real captures where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofi_cvd.settings import Settings, load
from ofi_cvd.simulator import simulate_spool
from ofi_cvd.history.hftbacktest import import_hftbacktest
from ofi_cvd.publish.run import build

CAPTURES = Path(__file__).parents[3] / "shared" / "data" / "derived"
SIMULATED = ("BTCUSDT", "ADAUSDT")  # what the tutorial simulates
REAL = ("BTCUSDT", "ETHUSDT")


def _settings(root: Path, symbols: tuple[str, ...]) -> Settings:
    data = root / "data"  # laid out as in the project, so that default paths work from `root`
    folders = {"spool_dir": data / "spool", "data_dir": data / "ofi_cvd", "state_dir": data / "state"}
    options = {"symbols": symbols, "artifacts_dir": root / "artifacts", **folders}
    return load(options, environ={}, toml=root / "none.toml").settings


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Three simulated hours of two symbols, built."""
    settings = _settings(tmp_path_factory.mktemp("simulated"), SIMULATED)
    simulate_spool(settings.spool_dir, hours=3, symbols=SIMULATED, seed=7, workers=1)
    build(settings, workers=1)
    return settings


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The captures of 2024-07-18/19, imported and built."""
    if not CAPTURES.is_dir():
        pytest.skip("the real captures are not beside the project (../shared/data)")
    settings = _settings(tmp_path_factory.mktemp("real"), REAL)
    import_hftbacktest(sorted(CAPTURES.glob("*.gz")), settings.spool_dir)
    build(settings, workers=1)
    return settings
