"""Frames put beside each other in time, and times as UTC datetimes."""

from __future__ import annotations

import polars as pl

from ofi_cvd.dataset.times import Length, length_ms
from ofi_cvd.errors import InputError


def with_time(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return the frame with `time` in front: `ts_ms` as a UTC datetime of millisecond precision."""
    time = pl.col("ts_ms").cast(pl.Datetime("ms", "UTC"))
    return rows.select(time.alias("time"), pl.all().exclude("time"))


def asof(left: pl.LazyFrame, right: pl.LazyFrame, tolerance: Length | None = None) -> pl.LazyFrame:
    """Return every row of `left` with the last row of `right` of the same symbol at or before its `ts_ms`.

    Nothing later than a row is beside it, so the result does not look ahead. Columns of `right` that `left` has too get
    the suffix `_right`, `ts_ms_right` among them; all are null where no row of `right` is near enough. Rows come sorted
    by symbol and time; of several rows of `right` with one time the last counts.

    Args:
        left: a frame with `symbol` and `ts_ms`.
        right: another.
        tolerance: how old a row of `right` may be; None for no limit.

    Raises:
        InputError: a frame without `symbol` or `ts_ms`, or a tolerance that is no length.
    """
    for name, frame in (("left", left), ("right", right)):
        missing = {"symbol", "ts_ms"} - set(frame.collect_schema().names())
        if missing:
            raise InputError(f"{name}: expected columns symbol and ts_ms, found no {min(missing)}")
    limit = None if tolerance is None else length_ms(tolerance, "tolerance")
    found = right.sort("symbol", "ts_ms", maintain_order=True).with_columns(ts_ms_right=pl.col("ts_ms"))
    return left.sort("symbol", "ts_ms", maintain_order=True).join_asof(
        found,
        on="ts_ms",
        by="symbol",
        strategy="backward",
        tolerance=limit,
        check_sortedness=False,  # sorted just above; Polars cannot check it within groups
    )
