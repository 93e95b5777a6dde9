"""Where forward returns are not known because trades are missing."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ofi_cvd.dataset.forward import gaps_of
from ofi_cvd.schemas import Kind

TRADES = pl.DataFrame({"ts_ms": [1, 4, 9, 12], "gap_before": [0, 3, None, 0], "suspect": False})


def read(_kind: Kind, columns: Sequence[str]) -> pl.DataFrame:
    return TRADES.select(columns)


def test_ids_that_begin_anew_are_a_hole_of_unknown_size() -> None:
    """`gap_before` is null there: nobody knows how many trades are missing, which is not that none are."""
    gaps = gaps_of(read, "prices", 1000)
    assert (gaps.starts.tolist(), gaps.ends.tolist()) == ([1], [9])
