"""Trades as bars: by time, volume, turnover or imbalance. Bars restart at 00:00 UTC."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import polars as pl

from ofi_cvd.common.times import DAY_MS
from ofi_cvd.dataset.arrays import Bools, Ints, floats
from ofi_cvd.dataset.times import Length, length_ms
from ofi_cvd.errors import InputError

BarKind = Literal["time", "volume", "dollar", "imbalance"]
BARS: Final = pl.Schema(
    {
        "ts_ms": pl.Int64(), "symbol": pl.String(), "start_ms": pl.Int64(), "open": pl.Float64(), "high": pl.Float64(),
        "low": pl.Float64(), "close": pl.Float64(), "volume": pl.Float64(), "buy_volume": pl.Float64(),
        "sell_volume": pl.Float64(), "delta": pl.Float64(), "notional": pl.Float64(), "vwap": pl.Float64(),
        "n_trades": pl.Int64(), "suspect": pl.Boolean(),
    }
)  # fmt: skip
"""The columns of a frame of bars."""

_EXACT: Final = pl.Decimal(38, 8)
_BAR: Final = "_bar"
_NEEDED: Final = ("ts_ms", "symbol", "price", "qty", "side", "suspect", "agg_trade_id")


def time_bars(trades: pl.LazyFrame, size: Length) -> pl.LazyFrame:
    """Return one bar for each bucket `(t - size, t]` with a trade; `ts_ms` is t, the moment the bar is complete.

    Buckets are counted from 00:00 UTC. Where the size does not divide a day, the last one ends at 24:00.

    Raises:
        InputError: a size that is no length, or longer than a day.
    """
    width = length_ms(size, "size")
    if width > DAY_MS:
        raise InputError(f"size: expected a length of at most one day, found {size!r}")
    return _bars(trades.with_columns(bar_end(width).alias(_BAR))).select(
        pl.col(_BAR).alias("ts_ms"), *[name for name in BARS.names() if name != "ts_ms"]
    )


def bar_end(width_ms: int) -> pl.Expr:
    """Return the end of the bucket `(t - width, t]` of `ts_ms`, counted from 00:00 UTC; a day ends every bucket."""
    into = (pl.col("ts_ms") - 1) % DAY_MS  # 0 .. a day: an instant at 00:00 ends the day before
    midnight = pl.col("ts_ms") - 1 - into
    return pl.min_horizontal(midnight + (into // width_ms + 1) * width_ms, midnight + DAY_MS)


def sampled_bars(trades: pl.LazyFrame, size: float, by: BarKind) -> pl.LazyFrame:
    """Return bars that close with the trade that brings their amount to at least `size`; the next one starts at zero.

    The amount is the quantity (`volume`, base asset), price times quantity (`dollar`, quote asset), or the absolute sum
    of signed quantity (`imbalance`, base asset). `ts_ms` is the time of the bar's last trade. The last bar of a day
    closes with the day, whatever its amount.

    Raises:
        InputError: a size that is not a number above zero.
    """
    if isinstance(size, bool) or not 0 < size < float("inf"):
        raise InputError(f"size: expected a number above 0 for bars by {by}, found {size!r}")

    def numbered(rows: pl.DataFrame) -> pl.DataFrame:
        return _numbered(rows.sort("symbol", "ts_ms", "agg_trade_id", maintain_order=True), float(size), by)

    needed = trades.select(_NEEDED)
    schema = pl.Schema({**needed.collect_schema(), _BAR: pl.Int64()})
    last = _bars(needed.map_batches(numbered, schema=schema))
    return last.select("ts_ms", *[name for name in BARS.names() if name != "ts_ms"])


def _bars(trades: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row for each (symbol, bar); sums are exact, with one rounding at the end."""
    bought = pl.col("side") == "buy"
    amount = pl.col("qty").cast(_EXACT)
    delta = pl.when(bought).then(amount).otherwise(-amount)
    notional = (pl.col("price") * pl.col("qty")).cast(_EXACT)
    bars = (
        trades.sort("symbol", "ts_ms", "agg_trade_id", maintain_order=True)
        .group_by("symbol", _BAR, maintain_order=True)
        .agg(
            pl.col("ts_ms").last(),
            start_ms=pl.col("ts_ms").first(),
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
            volume=amount.sum().cast(pl.Float64),
            buy_volume=amount.filter(bought).sum().cast(pl.Float64),
            sell_volume=amount.filter(~bought).sum().cast(pl.Float64),
            delta=delta.sum().cast(pl.Float64),
            notional=notional.sum().cast(pl.Float64),
            n_trades=pl.len().cast(pl.Int64),
            suspect=pl.col("suspect").any(),
        )
    )
    return bars.with_columns(vwap=pl.col("notional") / pl.col("volume"))


def _numbered(rows: pl.DataFrame, size: float, by: BarKind) -> pl.DataFrame:
    """Return sorted trades with the number of their bar, counted over the frame."""
    numbers = np.zeros(rows.height, dtype=np.int64)
    base, at = 0, 0
    days = rows.select(pl.struct("symbol", pl.col("ts_ms") // DAY_MS).rle_id()).to_series().to_numpy()
    for length in np.bincount(days) if rows.height else []:
        day = rows.slice(at, int(length))
        ends = _ends(day, size, by)
        numbers[at : at + day.height] = base + np.cumsum(np.r_[False, ends[:-1]])
        base, at = int(numbers[at + day.height - 1]) + 1, at + day.height
    return rows.with_columns(pl.Series(_BAR, numbers))


def _ends(day: pl.DataFrame, size: float, by: BarKind) -> Bools:
    """Return which trades of one day close a bar."""
    amount = pl.col("price") * pl.col("qty") if by == "dollar" else pl.col("qty")
    if by == "imbalance":
        amount = pl.when(pl.col("side") == "buy").then(amount).otherwise(-amount)
    sums, limit = _exact_sums(day.select(amount=amount), size)
    find = _first_beyond if by == "imbalance" else _first_reaching
    ends = np.zeros(len(sums), dtype=np.bool_)
    start, before = 0, 0
    while (end := find(sums, start, before, limit)) < len(sums):
        ends[end], start, before = True, end + 1, int(sums[end])
    return ends


def _exact_sums(amounts: pl.DataFrame, size: float) -> tuple[Ints, int]:
    """Return running sums and the size as integers of the finest unit that Int64 can hold for this day, at most 1e-8."""
    values = floats(amounts, "amount")
    total = float(np.abs(values).sum()) + size
    places = next(places for places in range(8, -12, -1) if total * 10.0**places < 2.0**62)
    return np.cumsum(np.rint(values * 10.0**places).astype(np.int64)), max(1, round(size * 10.0**places))


def _first_reaching(sums: Ints, start: int, before: int, limit: int) -> int:
    """Return the first index from `start` on where the sum since `before` is at least the limit; the length if none."""
    return start + int(np.searchsorted(sums[start:], before + limit, side="left"))


def _first_beyond(sums: Ints, start: int, before: int, limit: int) -> int:
    """Return the first index from `start` on where the absolute sum since `before` is at least the limit."""
    width = 64
    while start < len(sums):
        beyond = np.flatnonzero(np.abs(sums[start : start + width] - before) >= limit)
        if beyond.size:
            return start + int(beyond[0])
        start, width = start + width, width * 2
    return len(sums)
