"""A dataset is judged by its own parameters, never by today's settings."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from ofi_cvd.errors import SettingError
from ofi_cvd.publish.parts import folder_of, part_name
from ofi_cvd.quality.parameters import dataset_settings, notes
from ofi_cvd.settings import Settings

START_MS = 1_760_572_800_000


def stored(root: Path, parameters: dict[str, object]) -> Settings:
    """Write one part that carries parameters; return today's settings."""
    folder = folder_of(root / "data", "BTCUSDT", "prices", START_MS)
    folder.mkdir(parents=True)
    pl.DataFrame({"ts_ms": [START_MS]}).write_parquet(
        folder / part_name(START_MS), metadata={"parameters": json.dumps(parameters)}
    )
    return Settings(symbols="BTCUSDT", data_dir=root / "data", win_secs=60, mad_min_trades=7, artifacts_dir=root / "a")


def test_what_the_dataset_names_is_taken_and_the_rest_has_its_default(tmp_path: Path) -> None:
    today = stored(tmp_path, {"WIN_SECS": 120, "BOOK_SOURCE": "bookTicker", "LEVEL_WEIGHTS": ["1"], "LEVELS": 1})
    found = dataset_settings(today)
    assert (found.win_secs, found.source, found.level_weights, found.levels) == (120, "bookTicker", ("1",), 1)
    assert found.mad_min_trades == 50  # a default is left out, and today's setting is not the dataset's
    assert (found.symbols, found.artifacts_dir) == (today.symbols, today.artifacts_dir)
    assert notes(found, today)[0].startswith("Judged by the dataset's own parameters")


def test_without_stored_parameters_the_settings_are_taken(tmp_path: Path) -> None:
    today = Settings(symbols="BTCUSDT", data_dir=tmp_path / "none", win_secs=60)
    assert dataset_settings(today) is today
    assert notes(today, today) == []


def test_parameters_of_another_version_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="WIN_SECS"):
        dataset_settings(stored(tmp_path, {"WIN_SECS": "soon"}))


@pytest.mark.parametrize(("limit", "told"), [(5.9, 1), (6.0, 0), (8.0, 0)])
def test_a_limit_below_the_anomaly_says_what_it_silences(limit: float, told: int) -> None:
    settings = Settings(winsor_limit=limit)
    assert len(notes(settings, settings)) == told
