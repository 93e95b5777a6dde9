"""Reading published parts: window, gaps, and errors that name what was found."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ofi_cvd.analysis.source import Source, hashes
from ofi_cvd.errors import InputError
from tests.analysis import planted

SECONDS = 4000
GAP = planted.Gap(1000, 1200)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    return planted.write(folder, {"BTCUSDT": planted.tables(SECONDS, gaps=(GAP,), books=2)})


def at(second: int) -> int:
    return planted.START_MS + second * 1000


@pytest.mark.parametrize("price", ["mid", "trade"])
def test_labels_do_not_cross_a_published_gap(root: Path, price: str) -> None:
    quotes = Source(root).quotes("BTCUSDT", "mid" if price == "mid" else "trade", 300)
    seconds = np.array([900, 960, 985, 1201, 1202, 1300])
    known = ~np.isnan(quotes.forward(planted.START_MS + 1000 * seconds.astype(np.int64), 30_000))
    assert known.tolist() == [True, True, False, True, True, True]


def test_hours_join_to_one_series(root: Path) -> None:
    rows = Source(root).read("BTCUSDT", "ofi", ["ts_ms", "mid"])
    assert rows["ts_ms"].is_sorted()
    assert rows.height == 2 * (SECONDS - 200)
    forward = Source(root).quotes("BTCUSDT", "mid", 300).forward(np.array([at(3599)]), 2000)
    assert not np.isnan(forward).any()


def test_the_window_is_half_open(root: Path) -> None:
    rows = Source(root, at(10), at(20)).read("BTCUSDT", "fusion", ["ts_ms"])
    assert rows["ts_ms"].to_list() == [at(s) for s in range(10, 20)]
    assert Source(root, at(3500), at(3700)).span(["BTCUSDT"]) == (at(3500), at(3700) - 1 - _to_last(root, 3700))


def _to_last(root: Path, second: int) -> int:
    """Milliseconds from the last price row before a second to that second, less one."""
    times = Source(root).read("BTCUSDT", "prices", ["ts_ms"]).filter(pl.col("ts_ms") < at(second))["ts_ms"]
    return at(second) - 1 - max(int(times[-1]), at(second) - 500)


def test_labels_look_at_no_price_outside_the_window(root: Path) -> None:
    quotes = Source(root, None, at(500)).quotes("BTCUSDT", "mid", 300)
    assert np.isnan(quotes.forward(np.array([at(495)]), 10_000)).all()


def test_a_symbol_that_is_not_there_is_named(root: Path) -> None:
    with pytest.raises(InputError, match="expected symbol DOGEUSDT, found only BTCUSDT"):
        Source(root).choose(["DOGEUSDT"])


def test_an_empty_dataset_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no part"):
        Source(tmp_path).choose([])


def test_an_empty_window_is_said_to_be_empty(root: Path) -> None:
    with pytest.raises(InputError, match="rows of BTCUSDT in the window, found none"):
        Source(root, 0, 1000).span(["BTCUSDT"])


def test_hashes_are_those_of_the_files(root: Path) -> None:
    parts = Source(root).parts(["BTCUSDT"])
    listing = hashes(root, parts)
    assert len(listing) == 9  # two hours of five tables, the events all in the first
    for entry in listing:
        content = (root / str(entry["path"])).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["bytes"] == len(content)
