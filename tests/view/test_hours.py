"""What the page knows of one hour."""

from __future__ import annotations

import polars as pl

from ofi_cvd.schemas import Kind
from ofi_cvd.view.hours import find_breaks, rows_seen

SILENT_MS = 60_000
FRAMES: dict[Kind, pl.LazyFrame] = {
    "prices": pl.LazyFrame({"ts_ms": [1, 4, 9, 12], "gap_before": [0, 3, None, 0], "suspect": False}),
}


def test_ids_that_begin_anew_are_missing_trades() -> None:
    """`gap_before` is null there: nobody knows how many trades are missing, which is not that none are."""
    seen = rows_seen(FRAMES, "prices").collect()
    found = find_breaks(seen, seen, seen, SILENT_MS)
    assert found.rows() == [(1, 4, "trade ids are missing"), (4, 9, "trade ids are missing")]
