"""Volume by price, side and bar: where in a bar the buying and the selling happened."""

from __future__ import annotations

import math
from typing import Final

import polars as pl

from ofi_cvd.common.times import DAY_MS
from ofi_cvd.dataset.bars import bar_end
from ofi_cvd.dataset.times import Length, length_ms
from ofi_cvd.errors import InputError

_UNITS: Final = 100_000_000
_EXACT: Final = pl.Decimal(38, 8)


def footprint(trades: pl.LazyFrame, size: Length, tick: float) -> pl.LazyFrame:
    """Return one row for each (symbol, bar, price level) with a trade, sorted by them.

    Columns: `ts_ms` (end of the bar, as in `time_bars`), `symbol`, `price` (lower edge of the level
    `[price, price + tick)`), `buy_volume`, `sell_volume`, `delta` and `n_trades`; volumes in base asset. Sums are exact.

    Raises:
        InputError: a size that is no length of at most a day, or a tick below 1e-8.
    """
    width = length_ms(size, "size")
    if width > DAY_MS:
        raise InputError(f"size: expected a length of at most one day, found {size!r}")
    if isinstance(tick, bool) or not 1e-8 <= tick < math.inf:
        raise InputError(f"tick: expected a price step of 1e-8 or more, found {tick!r}")
    step = round(tick * _UNITS)
    bought = pl.col("side") == "buy"
    amount = pl.col("qty").cast(_EXACT)
    signed = pl.when(bought).then(amount).otherwise(-amount)
    level = (pl.col("price") * _UNITS).round().cast(pl.Int64) // step
    return (
        trades.with_columns(ts_ms=bar_end(width), level=level)
        .group_by("symbol", "ts_ms", "level")
        .agg(
            buy_volume=amount.filter(bought).sum().cast(pl.Float64),
            sell_volume=amount.filter(~bought).sum().cast(pl.Float64),
            delta=signed.sum().cast(pl.Float64),
            n_trades=pl.len().cast(pl.Int64),
        )
        .sort("symbol", "ts_ms", "level")
        .select(
            "ts_ms",
            "symbol",
            _level_price(step).alias("price"),
            "buy_volume",
            "sell_volume",
            "delta",
            "n_trades",
        )
    )


def _level_price(step: int) -> pl.Expr:
    """Return the lower edge of a level as the float nearest to its decimal value."""
    units = (pl.col("level") * step).cast(pl.Float64)
    return units / (units * 0.0 + float(_UNITS))  # a divisor that is a scalar would be multiplied by its reciprocal
