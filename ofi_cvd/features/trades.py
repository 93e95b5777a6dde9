"""Canonical trades: what a trade is, in which order, at what time, and which ids are missing before it.

See docs/specification/trades.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from ofi_cvd.features.carry import CarryState
from ofi_cvd.features.epochs import UNKNOWN, epoch_of, id_of
from ofi_cvd.features.exact import negated, ratio, units

MAX_AHEAD_MS: Final = 86_400_000
MAX_BEHIND_MS: Final = 7 * 86_400_000
RATE_WINDOW_MS: Final = 10_000
ROWS: Final = pl.Schema(
    {
        "recv_ns": pl.Int64(),
        "from_rest": pl.Boolean(),
        "traded_ms": pl.Int64(),
        "pushed_ms": pl.Int64(),
        "trade_id": pl.Int64(),
        "price": pl.Decimal(38, 8),
        "qty": pl.Decimal(38, 8),
        "buyer_is_maker": pl.Boolean(),
        "trade_kind": pl.String(),
        "precedence": pl.Int64(),
        "file_row": pl.Int64(),
    }
)
"""Readable trade rows as they come from the spool; `recv_ns` is null in rows of an archive, which nobody received."""


FIRST: Final = ("precedence", "recv_ns", "file_row")
"""The order of rows with one id, of which the first stays."""


def parse_error() -> pl.Expr:
    """Return why a raw trade line cannot be read as a trade at all; null for a usable one.

    `torn`: not a JSON object. `not_a_number`, `too_many_decimals`, `number_out_of_range`: what the spool's reader found
    wrong with a price or a quantity. `malformed`: a field is missing or of the wrong type.
    `implausible_time`: traded more than a day after its receipt, or more than a week before it.
    """
    receipt_ms = pl.col("recv_ns").floordiv(1_000_000)
    needed = ("trade_id", "traded_ms", "price", "qty", "buyer_is_maker")
    lacks = pl.any_horizontal(pl.col(column).is_null() for column in needed)
    wild = ~pl.col("traded_ms").is_between(receipt_ms - MAX_BEHIND_MS, receipt_ms + MAX_AHEAD_MS)
    return (
        pl.when(pl.col("recv_ns").is_null())
        .then(pl.lit("torn"))
        .when(pl.col("number_error").is_not_null())
        .then(pl.col("number_error"))
        .when(lacks)
        .then(pl.lit("malformed"))
        .when(wild)
        .then(pl.lit("implausible_time"))
    )


def reject_reason() -> pl.Expr:
    """Return why a readable row is not admitted as a trade (its id still counts as seen); null for an admitted one."""
    return (
        pl.when(pl.col("price") <= 0)
        .then(pl.lit("price_not_positive"))
        .when(pl.col("qty") <= 0)
        .then(pl.lit("qty_not_positive"))
        .when(pl.col("traded_ms") > pl.col("pushed_ms") + 1000)
        .then(pl.lit("traded_after_push"))
        .when(pl.col("trade_kind") != "MARKET")
        .then(pl.lit("not_market"))
    )


def sequenced(readable: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row per trade id, in id order, with `reject_reason`.

    Of duplicates an admitted row stays before one that is not; then a websocket row before a REST row before archives in
    the order of their digests (`precedence`); then the earliest receipt, then the first row of a file.
    """
    first = (pl.col("reject_reason").is_not_null(), *FIRST)
    return readable.with_columns(reject_reason=reject_reason()).pipe(first_of_each, ["trade_id"], first)


def first_of_each(rows: pl.LazyFrame, keys: list[str], order: Sequence[str | pl.Expr]) -> pl.LazyFrame:
    """Return rows sorted by the first of `keys`, then `order`, and of rows alike in all keys the first.

    Rows nearly always come in order and once; that is seen at a glance, and then nothing is moved.
    """

    def settle(frame: pl.DataFrame) -> pl.DataFrame:
        if bool((frame[keys[0]].diff() > 0).all()):
            return frame
        return frame.sort(keys[0], *order, maintain_order=True).unique(keys, keep="first", maintain_order=True)

    return rows.map_batches(settle, schema=None)


def with_missing_ids(rows: pl.LazyFrame, opening: CarryState) -> pl.LazyFrame:
    """Return sequenced rows with `missing_so_far`: ids never seen since the last admitted trade of the hour before."""
    before = pl.lit(opening.scalars.last_seen_id, dtype=pl.Int64)
    missing = (pl.col("trade_id") - pl.coalesce(pl.col("trade_id").shift(), before) - 1).fill_null(0)
    return rows.with_columns(missing_so_far=missing.cum_sum() + opening.scalars.pending_missing)


def canonical(with_ids: pl.LazyFrame, opening: CarryState) -> pl.LazyFrame:
    """Return the admitted trades of an hour, from its rows with missing ids counted and what the hour before left.

    `gap_before` counts the ids missing since the last admitted trade; a row that is not admitted closes its own id. It is
    null on the first trade of an epoch: nobody knows how many are missing.
    """
    so_far = pl.col("missing_so_far")
    missing = so_far - so_far.shift(fill_value=0)
    return (
        with_ids.filter(pl.col("reject_reason").is_null())
        .with_columns(
            ts_ms=pl.max_horizontal(
                pl.col("traded_ms").cum_max(), pl.lit(opening.scalars.last_trade_ms, dtype=pl.Int64)
            ),
            gap_before=pl.when(missing < UNKNOWN).then(missing),
            delta_units=signed_units(),
        )
        .select(
            "ts_ms",
            event_ts_ms=pl.when(~pl.col("from_rest")).then("pushed_ms"),
            price=pl.col("price").cast(pl.Float64),
            qty=pl.col("qty").cast(pl.Float64),
            agg_trade_id=id_of("trade_id"),
            latency_ms=latency_ms(),
            side=side(),
            recv_ts_ms=pl.col("recv_ns").floordiv(1_000_000),
            gap_before="gap_before",
            id_epoch=epoch_of("trade_id"),
            delta_units="delta_units",
        )
    )


def is_behind_gap() -> pl.Expr:
    """Return whether trades are missing just before a trade: ids, or an unknown number where the ids began anew."""
    return (pl.col("gap_before") > 0).fill_null(value=True)


def side() -> pl.Expr:
    """Return the aggressor: `sell` if the buyer was the maker, else `buy`."""
    return pl.when("buyer_is_maker").then(pl.lit("sell")).otherwise(pl.lit("buy"))


def signed_units() -> pl.Expr:
    """Return the signed quantity in units of 1e-8 base asset: buys positive, sells negative."""
    size = units("qty")
    return pl.when("buyer_is_maker").then(negated(size)).otherwise(size)


def latency_ms() -> pl.Expr:
    """Return receipt minus push time in ms, negative where the local clock is behind; null for a row fetched over REST."""
    nanoseconds = pl.col("recv_ns") - pl.col("pushed_ms") * 1_000_000
    return pl.when(~pl.col("from_rest")).then(ratio(nanoseconds, 1_000_000))


def with_rate(trades: pl.LazyFrame, opening: CarryState, first_trade_ms: int | None) -> pl.LazyFrame:
    """Return the trades with `recv_rate_tps`, counted over the last trades of the hour before as well."""
    recent = opening.rows("trades").select("ts_ms", is_carried=pl.lit(value=True))
    return (
        pl.concat([recent, trades.with_columns(is_carried=pl.lit(value=False))], how="diagonal")
        .with_columns(recv_rate_tps=recv_rate_tps(pl.lit(first_trade_ms, dtype=pl.Int64)))
        .filter(~pl.col("is_carried"))
        .drop("is_carried")
    )


def recv_rate_tps(first_trade_ms: pl.Expr) -> pl.Expr:
    """Return trades per second over `(t - 10 s, t]`, ties counted; null until the symbol's trades are 10 s old."""
    ones = pl.col("ts_ms").is_not_null().cast(pl.Int64)
    seen = ones.rolling_sum_by("ts_ms", f"{RATE_WINDOW_MS}i", closed="right")
    return pl.when(pl.col("ts_ms") - first_trade_ms >= RATE_WINDOW_MS).then(ratio(seen, RATE_WINDOW_MS // 1000))
