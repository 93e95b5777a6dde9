"""Book updates: one row an update, in the order of the venue's ids, each knowing its predecessor or that it has none.

See docs/specification/books.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ofi_cvd.features.carry import CarryState
from ofi_cvd.features.epochs import epoch_of
from ofi_cvd.features.trades import FIRST, MAX_AHEAD_MS, MAX_BEHIND_MS, first_of_each

SIDES = ("bid", "ask")


def rows_schema(levels: int) -> pl.Schema:
    """Return the schema of readable book rows as they come from the spool."""
    ids = ("recv_ns", "update_id", "previous_id", "traded_ms", "pushed_ms", "bid_depth", "ask_depth", *FIRST[::2])
    columns = [f"{side}_{what}_{k}" for k in range(1, levels + 1) for side in SIDES for what in ("px", "qty")]
    return pl.Schema(dict.fromkeys(ids, pl.Int64()) | dict.fromkeys(columns, pl.Decimal(38, 8)))


def update_ms() -> pl.Expr:
    """Return an update's own time: transaction, else push, else receipt (spot has no clock of the venue)."""
    return pl.coalesce("traded_ms", "pushed_ms", pl.col("recv_ns").floordiv(1_000_000))


def receipt_ns() -> pl.Expr:
    """Return when an update was received; its own time where nobody received it, as in an archive."""
    return pl.coalesce("recv_ns", update_ms() * 1_000_000)


def parse_error(levels: int) -> pl.Expr:
    """Return why a raw book line cannot be read as an update, by the reasons of trades; null if it can.

    A level that is there must have a positive price and a quantity of zero or more; a level that is not there is no fault.
    """
    receipt_ms = pl.col("recv_ns").floordiv(1_000_000)
    wild = ~update_ms().is_between(receipt_ms - MAX_BEHIND_MS, receipt_ms + MAX_AHEAD_MS)
    bad_level = pl.any_horizontal(
        (pl.col(f"{side}_depth") >= k)
        & ~((pl.col(f"{side}_px_{k}") > 0) & (pl.col(f"{side}_qty_{k}") >= 0)).fill_null(value=False)
        for side in SIDES
        for k in range(1, levels + 1)
    )
    lacks = pl.any_horizontal(pl.col(column).is_null() for column in ("update_id", "bid_depth", "ask_depth"))
    return (
        pl.when(pl.col("recv_ns").is_null())
        .then(pl.lit("torn"))
        .when(pl.col("number_error").is_not_null())
        .then(pl.col("number_error"))
        .when(lacks | bad_level)
        .then(pl.lit("malformed"))
        .when(wild)
        .then(pl.lit("implausible_time"))
    )


def sequenced(readable: pl.LazyFrame, *, is_ticker: bool) -> pl.LazyFrame:
    """Return the updates of all sources merged: order `(update_id, recv_ns)`, of the same update the earliest received.

    Rows that nobody received, those of archives, come after received ones.

    For `bookTicker` the same update is the same id with the same prices and sizes.
    """
    same = ["update_id"]
    if is_ticker:
        same += [f"{side}_{what}_1" for side in SIDES for what in ("px", "qty")]
    return readable.pipe(first_of_each, same, FIRST)


def with_continuity(rows: pl.LazyFrame, opening: CarryState, break_ends_ms: Sequence[int]) -> pl.LazyFrame:
    """Return an hour's updates behind the last one of the hour before, with `ts_ms`, `mid`, `spread_bps`, `contiguous`.

    `is_new` is false on the row carried over. `contiguous`: the row before it is its predecessor
    (docs/specification/books.md). A chain
    decides where there is one; else it is broken by a ledger gap of the stream, at the first receipt from its end on.
    Where the ids begin anew it is broken.
    """
    scalars = opening.scalars
    carried = opening.rows("book")
    hour = rows.with_columns(is_new=pl.lit(value=True))
    both = (
        pl.concat([carried.with_columns(is_new=pl.lit(value=False)), hour], how="vertical")
        if scalars.last_update_ms
        else hour
    )
    receipts_ms = receipt_ns().cum_max().floordiv(1_000_000)
    if scalars.last_receipt_ns:
        receipts_ms = pl.max_horizontal(receipts_ms, pl.lit(scalars.last_receipt_ns // 1_000_000))
    outages_passed = (
        pl.sum_horizontal((receipts_ms >= end).cast(pl.Int64) for end in break_ends_ms) if break_ends_ms else pl.lit(0)
    )
    unbroken = outages_passed.diff() == 0 if break_ends_ms else pl.lit(value=True)
    chained = pl.when(pl.col("previous_id").is_not_null()).then(pl.col("previous_id") == pl.col("update_id").shift())
    goes_on = epoch_of("update_id").diff().fill_null(0) == 0
    has_before = pl.int_range(pl.len()) > 0
    last_ms = pl.lit(scalars.last_update_ms, dtype=pl.Int64)
    return both.with_columns(
        ts_ms=pl.max_horizontal(update_ms().cum_max(), last_ms),
        mid=mid(),
        spread_bps=spread_bps(),
        has_before=has_before,
        contiguous=has_before & goes_on & chained.otherwise(unbroken),
    )


def mid() -> pl.Expr:
    """Return the mid price in quote asset; null where a side of the book is missing."""
    return (pl.col("bid_px_1").cast(pl.Float64) + pl.col("ask_px_1").cast(pl.Float64)) / 2.0


def spread_bps() -> pl.Expr:
    """Return the quoted spread in 1e-4 of the mid; null where a side of the book is missing."""
    spread = (pl.col("ask_px_1") - pl.col("bid_px_1")).cast(pl.Float64)
    return spread / mid() * 10_000.0
