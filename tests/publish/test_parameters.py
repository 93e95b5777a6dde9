"""A dataset remembers its parameters: every part carries them, and no build mixes two sets."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from ofi_cvd.errors import InputError, SettingError, UsageError
from ofi_cvd.publish import checkpoint, run
from ofi_cvd.publish.compact import compact
from ofi_cvd.publish.parts import parameters_of
from ofi_cvd.publish.run import build
from ofi_cvd.settings import Settings
from ofi_cvd.settings import model as settings_model
from tests.datasets import settings_for
from tests.publish.test_restatement import market
from tests.spool_files import write_spool


def published(root: Path, slice_secs: int = 3600, **params: object) -> Settings:
    """Return the settings of a small dataset that is built."""
    full = market(2)
    chosen = settings_for(root, full.params | params)
    write_spool(chosen.spool_dir, full.frames)
    build(chosen, workers=1, slice_secs=slice_secs)
    return chosen


def test_every_part_carries_the_canonical_parameters(tmp_path: Path) -> None:
    """Slices and merged hours alike; the fingerprint is their SHA-256."""
    chosen = published(tmp_path, slice_secs=900, WINSOR_LIMIT=5)
    for is_compacted in (False, True):
        if is_compacted:
            compact(chosen.data_dir, state_dir=chosen.state_dir)
        for path in chosen.data_dir.rglob("*.parquet"):
            facts = pl.read_parquet_metadata(path)
            assert json.loads(facts["parameters"])["WINSOR_LIMIT"] == 5
            assert hashlib.sha256(facts["parameters"].encode()).hexdigest() == facts["params_fingerprint"]
        assert parameters_of(chosen.data_dir) == chosen.parameters()


def test_parameters_come_from_the_parts_and_not_from_todays_settings(tmp_path: Path) -> None:
    """Whoever reads a dataset puts its parameters in the place of his own; folders stay."""
    chosen = published(tmp_path, WIN_SECS=240)
    today = Settings(symbols=("BTCUSDT",), data_dir=chosen.data_dir)
    assert today.win_secs == 300
    then = today.with_parameters(parameters_of(chosen.data_dir))
    assert then.win_secs == 240
    assert then.data_dir == today.data_dir
    assert then.fingerprint() == chosen.fingerprint()
    with pytest.raises(SettingError, match="expected a parameter of this version"):
        today.with_parameters({"NOT_YET_KNOWN": 1})


def test_parts_that_disagree_are_an_error(tmp_path: Path) -> None:
    """Two symbols of two parameter sets in one folder."""
    one = published(tmp_path / "one")
    other = published(tmp_path / "other", WIN_SECS=240)
    day = next(other.data_dir.iterdir())
    shutil.copytree(day / "symbol=BTCUSDT", one.data_dir / day.name / "symbol=ETHUSDT")
    with pytest.raises(InputError, match="expected parts of one set of parameters, found 2"):
        parameters_of(one.data_dir)
    assert parameters_of(one.data_dir, symbols=["ETHUSDT"]) == other.parameters()


def test_a_parameter_introduced_later_is_not_written_while_it_has_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fingerprints of older datasets survive."""
    plain, changed = Settings(), Settings(winsor_limit=5)
    assert "WINSOR_LIMIT" in plain.canonical_parameters()
    monkeypatch.setattr(settings_model, "LATER_PARAMETERS", ("winsor_limit",))
    assert "WINSOR_LIMIT" not in plain.canonical_parameters()
    assert json.loads(changed.canonical_parameters())["WINSOR_LIMIT"] == 5
    assert plain.fingerprint() != changed.fingerprint()
    assert plain.with_parameters(json.loads(plain.canonical_parameters())).fingerprint() == plain.fingerprint()


@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_parts_of_an_older_specification_are_not_continued(
    has_checkpoint: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns or values have changed since: the sentence says `--rebuild`, and that works."""
    chosen = published(tmp_path)
    if not has_checkpoint:
        shutil.rmtree(chosen.state_dir)
    for module in (checkpoint, run):
        monkeypatch.setattr(module, "SPEC_VERSION", "next")
    with pytest.raises(UsageError, match=r"expected a dataset of specification next.*use --rebuild"):
        build(chosen, workers=1)
    build(chosen, workers=1, rebuild=True)
    build(chosen, workers=1)


def test_parts_of_other_parameters_are_not_continued_when_the_checkpoint_is_gone(tmp_path: Path) -> None:
    """The parts themselves say what they were built with."""
    chosen = published(tmp_path)
    shutil.rmtree(chosen.state_dir)
    other = chosen.model_copy(update={"winsor_limit": 4.0})
    with pytest.raises(UsageError, match="expected the parameters the dataset was built with"):
        build(other, workers=1)
    build(other, workers=1, rebuild=True)
    assert parameters_of(chosen.data_dir)["WINSOR_LIMIT"] == 4
