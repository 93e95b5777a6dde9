"""Bins of times, and rows as a frame of a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from ofi_cvd.dataset.arrays import Ints


def bins_of(times: Ints, width_ms: int) -> tuple[Ints, int]:
    """Return for each time the number of its bin of `width_ms`, counted from the first bin, and how many bins are occupied."""
    index = times // width_ms
    index = index - index.min()
    return index, int(np.count_nonzero(np.bincount(index)))


def table(rows: Sequence[Mapping[str, object]], schema: pl.Schema) -> pl.DataFrame:
    """Return rows as a frame of exactly `schema`; NaN becomes null, because null means "not known".

    See docs/specification/index.md#promises.
    """
    frame = pl.DataFrame([dict(row) for row in rows], schema=schema)
    return frame.fill_nan(None)
