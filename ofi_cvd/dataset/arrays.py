"""Names for the arrays this package passes around, and the one way from a frame to them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]


def floats(frame: pl.DataFrame, column: str) -> Floats:
    """Return a column as float64 with NaN for null."""
    return np.asarray(frame.get_column(column).cast(pl.Float64).fill_null(float("nan")).to_numpy(), dtype=np.float64)


def ints(frame: pl.DataFrame, column: str) -> Ints:
    """Return a column without nulls as int64."""
    return np.asarray(frame.get_column(column).cast(pl.Int64).to_numpy(), dtype=np.int64)
