"""Price impact on the real captures: Cont, Kukanov & Stoikov's relation holds, far above shuffled flow."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from ofi_cvd.analysis.parameters import Parameters
from ofi_cvd.analysis.run import analyse
from ofi_cvd.history.hftbacktest import import_hftbacktest
from ofi_cvd.publish.run import build
from tests.datasets import settings_for

CAPTURES = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the real captures are not beside the project (../shared/data)"
)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
@pytest.mark.parametrize("source", ["derived", "raw"])
def test_impact_of_real_order_flow(symbol: str, source: str, tmp_path: Path) -> None:
    """The default streams (depth10@100ms) and the best quote with single trades; R^2 at 1 s within 0.35-0.75."""
    if source == "derived":
        names, parameters = [f"derived/{symbol.lower()}_20240718-19.agg+depth10.gz"], {}
    else:
        names = [f"raw/{symbol.lower()}_202407{day}.gz" for day in (18, 19)]
        parameters = {"TRADE_STREAM": "trade", "BOOK_SOURCE": "bookTicker"}
    settings = settings_for(tmp_path, parameters, symbol)
    import_hftbacktest([CAPTURES / name for name in names], settings.spool_dir)
    build(settings, workers=1)
    wanted = Parameters(impact=True, signals=("ofi_flow_z",), horizons_s=(1, 5))
    tables = analyse(settings.data_dir, wanted, tmp_path / "runs").tables

    rows = tables["impact"].filter(pl.col("window_s") == 1).rows_by_key("model", named=True, unique=True)
    assert 0.35 <= rows["ofi"]["r2"] <= 0.75
    assert rows["ofi"]["slope"] > 0
    assert rows["ofi"]["t"] > 3
    assert rows["ofi"]["r2_shuffled"] < 0.02
    assert rows["trades"]["r2"] < rows["ofi"]["r2"] < rows["ofi+trades"]["r2"]
    assert rows["ofi"]["r2_lag1"] < rows["ofi"]["r2"] / 3
    halves = tables["impact_half_hours"].filter((pl.col("model") == "ofi") & (pl.col("window_s") == 1))
    assert halves.height == 2  # both sides of midnight
    assert halves["slope"].min() > 0
    assert tables["metrics"].filter(pl.col("slice_kind") == "all")["n"].to_list() == pytest.approx([419, 415], abs=3)
