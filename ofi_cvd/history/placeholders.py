"""Ids of fills that are no trades: the venue's own file proves them absent, so they count as seen."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import polars as pl

from ofi_cvd.spool.segments import ABSENT, TRADES

MAX_RUN: Final = 10_000
"""A longer run of ids is a hole in the file or a new beginning of the ids, and proves nothing."""


def with_absent_ids(trades: pl.DataFrame, id_before: int | None) -> pl.DataFrame:
    """Return an hour of a file, sorted by id, with a row for each id that the file leaves out.

    Such a row has price and quantity zero and `trade_kind` ABSENT, so that it counts as seen and is no trade; its time is
    that of the next trade.

    Args:
        trades: the rows of one hour.
        id_before: the last id of the hour before; None for the first hour.
    """
    ids = pl.col("trade_id")
    runs = (
        trades.select("trade_id", "traded_ms", before=ids.shift(fill_value=id_before))
        .with_columns(run=pl.col("trade_id") - pl.col("before") - 1)
        .filter(pl.col("run").is_between(1, MAX_RUN))
    )
    if runs.is_empty():
        return trades
    absent = runs.select(
        "traded_ms", trade_id=pl.int_ranges(pl.col("before") + 1, pl.col("trade_id"), dtype=pl.Int64)
    ).explode("trade_id")
    zero = pl.lit(Decimal(0), dtype=pl.Decimal(38, 8))
    nothing = {name: pl.lit(None, dtype=TRADES[name]) for name in ("recv_ns", "pushed_ms")}
    rows = absent.with_columns(
        **nothing,
        price=zero,
        qty=zero,
        buyer_is_maker=pl.lit(value=False),
        trade_kind=pl.lit(ABSENT),
        file_row=pl.lit(-1, dtype=pl.Int64),
    )
    return pl.concat([trades, rows.select(TRADES.names())]).sort("trade_id", "file_row")
