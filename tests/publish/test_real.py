"""Real captures: what the imbalance of the book says about the price (Cont, Kukanov & Stoikov 2014)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ofi_cvd.publish.run import build
from tests.datasets import frames_of, settings_for
from tests.oracles import read_capture
from tests.spool_files import write_spool

CAPTURES = Path(__file__).parents[3] / "shared" / "data"
SECOND_MS = 1_000

pytestmark = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the real captures are not beside the project (../shared/data)"
)


def by_second(ofi: pl.DataFrame) -> pl.DataFrame:
    """Return for each second with updates the sum of `ofi_value` and the change of the last mid since the second before."""
    seconds = (
        ofi.with_columns(ts_ms=-(-pl.col("ts_ms") // SECOND_MS) * SECOND_MS)
        .group_by("ts_ms", maintain_order=True)
        .agg(pl.col("ofi_value").sum(), pl.col("mid").last())
    )
    follows = pl.col("ts_ms").diff() == SECOND_MS
    return seconds.with_columns(change=pl.col("mid").diff()).filter(follows).drop_nulls()


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
@pytest.mark.parametrize("source", ["derived", "raw"])
def test_the_mid_follows_the_imbalance(symbol: str, source: str, tmp_path: Path) -> None:
    """The regression of the 1 s change of the mid on `ofi_value`: a positive slope that explains over 40 %."""
    if source == "derived":
        names, params = [f"derived/{symbol.lower()}_20240718-19.agg+depth10.gz"], {}
    else:
        names = [f"raw/{symbol.lower()}_202407{day}.gz" for day in (18, 19)]
        params = {"TRADE_STREAM": "trade", "BOOK_SOURCE": "bookTicker"}
    chosen = settings_for(tmp_path, params, symbol)
    write_spool(chosen.spool_dir, [frame for name in names for frame in read_capture(CAPTURES / name, symbol)])
    build(chosen, workers=1)
    seconds = by_second(frames_of(chosen.data_dir)["ofi"])
    assert seconds.height > 300
    x, y = seconds["ofi_value"].to_numpy(), seconds["change"].to_numpy()
    slope, _ = np.polyfit(x, y, 1)
    assert slope > 0
    assert np.corrcoef(x, y)[0, 1] ** 2 > 0.4
