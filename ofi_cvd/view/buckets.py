"""Rows of the tables as buckets `(t - width, t]`, and buckets as wider buckets.

A bucket's values are values of rows: the last one (`cvd`, `mid`, `score` ...), the extremes (`high`, `score_z_low` ...) or the
sum (`ofi`, `volume` ...). Nothing is interpolated; what no row says is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.schemas import TABLES, Kind

_HOW: Final[dict[str, str]] = {
    "open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum", "buy_volume": "sum",
    "n_trades": "sum", "missing_ids": "sum", "cvd": "last", "ofi": "sum", "n_books": "sum", "mid": "last",
    "spread_bps": "last", "depth_bid": "last", "depth_ask": "last", "score": "last", "score_z": "last",
    "score_z_low": "min", "score_z_high": "max", "cvd_flow": "sum", "session": "last", "scenario": "last",
    "suspect": "max", "first_ms": "min", "last_ms": "max",
}  # fmt: skip
"""Every column of a bucket, and how buckets of it make a wider one."""

COLUMNS: Final = tuple(_HOW)
NEEDED: Final[dict[Kind, tuple[str, ...]]] = {
    "prices": ("ts_ms", "price", "qty", "side", "gap_before", "suspect", "session", "scenario_2x2"),
    "cvd": ("ts_ms", "cvd"),
    "ofi": ("ts_ms", "ofi_value", "mid", "spread_bps", "depth_bid", "depth_ask", "suspect"),
    "fusion": ("ts_ms", "score", "score_z", "cvd_flow", "session", "scenario_2x2", "suspect"),
}
"""What is read of each table; columns that this version's contract does not have are passed over."""


def needed(kind: Kind) -> list[str]:
    """Return the columns to read of a table."""
    return [name for name in NEEDED[kind] if name in TABLES[kind].schema]


def label(width_ms: int, column: str = "ts_ms") -> pl.Expr:
    """Return the end of the bucket `(t - width, t]` an instant is in."""
    return -(-pl.col(column)).floordiv(width_ms) * width_ms


def bucketed(tables: Mapping[Kind, pl.LazyFrame], width_ms: int, *, by_hour: bool = False) -> pl.LazyFrame:
    """Return one row for each bucket that any of the four tables has a row in, sorted by `t`.

    With `by_hour` the column `hour` says whose rows a bucket holds: one that ends on the hour holds rows of two.
    """
    keys = ["hour", "t"] if by_hour else ["t"]
    parts = [
        rows.select(needed(kind))
        .with_columns(label(width_ms).alias("t"), hour=pl.col("ts_ms") // HOUR_MS * HOUR_MS)
        .group_by(keys, maintain_order=True)
        .agg(_AGGREGATES[kind])
        for kind, rows in tables.items()
        if kind in _AGGREGATES
    ]
    wide = parts[0]
    for number, part in enumerate(parts[1:]):
        wide = wide.join(part, on=keys, how="full", coalesce=True, suffix=f"_{number}")
    names = wide.collect_schema().names()
    return wide.sort(keys).select(*keys, *(_combined(name, names) for name in COLUMNS))


def widened(buckets: pl.LazyFrame, width_ms: int, *by: str) -> pl.LazyFrame:
    """Return wider buckets made of these, sorted by `t`; apart for each value of the columns `by`."""
    return (
        buckets.with_columns(label(width_ms, "t").alias("t"))
        .group_by("t", *by, maintain_order=True)
        .agg(_merged(name, how) for name, how in _HOW.items())
        .sort("t")
    )


def no_buckets() -> pl.DataFrame:
    """Return no row of the columns of `bucketed`."""
    return bucketed({kind: TABLES[kind].schema.to_frame(eager=False) for kind in _AGGREGATES}, 1000).collect()


def _merged(name: str, how: str) -> pl.Expr:
    column = pl.col(name)
    if how in {"first", "last"}:
        known = column.drop_nulls()
        return (known.first() if how == "first" else known.last()).alias(name)
    if how == "sum":
        return pl.when(column.count() > 0).then(column.sum()).alias(name)
    return (column.max() if how == "max" else column.min()).alias(name)


def _combined(name: str, names: list[str]) -> pl.Expr:
    """Return a column that several tables may give: labels and flags of all of them, else the one that has it."""
    copies = [pl.col(one) for one in names if one == name or (one.rsplit("_", 1)[0] == name and one[-1].isdigit())]
    if not copies:
        return pl.lit(None, dtype=pl.Float64).alias(name)
    how = _HOW[name]
    if len(copies) == 1:
        return copies[0].alias(name)
    if how == "max":
        return pl.max_horizontal(copies).alias(name)
    return (pl.min_horizontal(copies) if how == "min" else pl.coalesce(copies)).alias(name)


def _last(column: str) -> pl.Expr:
    return pl.col(column).drop_nulls().last()


def _times() -> list[pl.Expr]:
    return [pl.col("ts_ms").min().alias("first_ms"), pl.col("ts_ms").max().alias("last_ms")]


def _ofi() -> list[pl.Expr]:
    there = [name for name in ("depth_bid", "depth_ask") if name in TABLES["ofi"].schema]
    return [
        pl.col("ofi_value").sum().alias("ofi"),
        pl.len().cast(pl.Int64).alias("n_books"),
        *(_last(name).alias(name) for name in ("mid", "spread_bps", *there)),
        pl.col("suspect").max(),
        *_times(),
    ]


_AGGREGATES: Final[dict[Kind, list[pl.Expr]]] = {
    "fusion": [
        *(_last(name).alias(name) for name in ("score", "score_z", "session")),
        _last("scenario_2x2").alias("scenario"),
        pl.col("score_z").min().alias("score_z_low"),
        pl.col("score_z").max().alias("score_z_high"),
        pl.when(pl.col("cvd_flow").count() > 0).then(pl.col("cvd_flow").sum()).alias("cvd_flow"),
        pl.col("suspect").max(),
    ],
    "prices": [
        pl.col("price").first().alias("open"),
        pl.col("price").max().alias("high"),
        pl.col("price").min().alias("low"),
        pl.col("price").last().alias("close"),
        pl.col("qty").sum().alias("volume"),
        pl.col("qty").filter(pl.col("side") == "buy").sum().alias("buy_volume"),
        pl.len().cast(pl.Int64).alias("n_trades"),
        pl.col("gap_before").sum().alias("missing_ids"),
        _last("session").alias("session"),
        _last("scenario_2x2").alias("scenario"),
        pl.col("suspect").max(),
        *_times(),
    ],
    "cvd": [pl.col("cvd").last()],
    "ofi": _ofi(),
}
