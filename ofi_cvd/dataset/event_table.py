"""Events as a researcher reads them: with a price, and with the facts as fields."""

from __future__ import annotations

from typing import Final

import polars as pl

META: Final = pl.Struct(
    {
        "pivot_ts_ms": pl.Int64(), "price": pl.Float64(), "channel": pl.String(), "a_ts_ms": pl.Int64(),
        "b_ts_ms": pl.Int64(), "a_price": pl.Float64(), "b_price": pl.Float64(), "flow": pl.Float64(),
        "z": pl.Float64(), "ret": pl.Float64(), "ofi_flow_z": pl.Float64(), "cvd_flow_z": pl.Float64(),
    }
)  # fmt: skip
"""Every fact that an event can have; those of other event types are null."""


def event_table(events: pl.LazyFrame, trades: pl.LazyFrame) -> pl.LazyFrame:
    """Return the events with `price` and `meta` in place of `meta_json`.

    `price` is that of the last trade at or before the event's `ts_ms`: what was paid when the event was known (a pivot's own
    price is `meta.price`). It is null before the first trade. `meta` is a struct of all facts of all event types.
    """
    last = trades.select("symbol", "ts_ms", "price", "agg_trade_id").sort("symbol", "ts_ms", "agg_trade_id")
    rows = events.with_columns(meta=pl.col("meta_json").str.json_decode(META)).with_row_index("_row")
    priced = rows.sort("symbol", "ts_ms", maintain_order=True).join_asof(
        last.drop("agg_trade_id"), on="ts_ms", by="symbol", strategy="backward", check_sortedness=False
    )
    labels = pl.all().exclude("_row", "ts_ms", "symbol", "event_type", "meta_json", "price", "meta")
    return priced.sort("_row").select("ts_ms", "symbol", "event_type", "price", "meta", labels)
