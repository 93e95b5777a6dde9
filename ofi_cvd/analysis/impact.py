"""Price impact: how far the mid moves with the order flow of the same window (Cont, Kukanov & Stoikov 2014)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import statsmodels.api as sm

from ofi_cvd.analysis.arrays import table
from ofi_cvd.dataset.arrays import Bools, Floats, Ints, floats, ints
from ofi_cvd.dataset.quotes import BPS, Quotes

WINDOWS_S: Final = (1, 10, 60)
HALF_HOUR_MS: Final = 1_800_000
FEWEST_WINDOWS: Final = 15
MODELS: Final = ("ofi", "ofi_l1", "trades", "ofi+trades")

_WHERE: Final = {"symbol": pl.String(), "window_s": pl.Int64()}
_FIT = ("slope", "t", "slope_trades", "t_trades", "r2")
HALF_HOURS: Final = pl.Schema(
    _WHERE
    | {"half_hour_ms": pl.Int64(), "model": pl.String(), "n": pl.Int64()}
    | dict.fromkeys((*_FIT, "r2_shuffled", "r2_lag1", "depth_proxy"), pl.Float64())
)
SUMMARY: Final = pl.Schema(
    _WHERE
    | {"model": pl.String(), "half_hours": pl.Int64(), "n": pl.Int64()}
    | dict.fromkeys((*_FIT, "share_significant", "r2_shuffled", "r2_lag1"), pl.Float64())
)
DEPTH: Final = pl.Schema(_WHERE | {"half_hours": pl.Int64()} | dict.fromkeys(("exponent", "error", "r2"), pl.Float64()))


@dataclass(frozen=True)
class Flows:
    """Per second: order-flow imbalance (published and best level) and signed trade volume, in base asset; 0 where none."""

    times: Ints
    ofi: Floats
    ofi_l1: Floats
    trades: Floats


@dataclass(frozen=True)
class Impact:
    """Regressions by half hour, their averages, and the slope against inverse depth."""

    half_hours: pl.DataFrame
    summary: pl.DataFrame
    depth: pl.DataFrame


@dataclass(frozen=True)
class _Fit:
    slopes: Floats
    t: Floats
    r2: float


def flows(book: pl.DataFrame, trades: pl.DataFrame) -> Flows:
    """Return the flows on a grid of seconds without holes, from rows of `ofi` and `cvd`.

    A second without a row had no flow: a bucket row exists wherever an update contributed. Seconds inside a gap hold zeros too;
    windows that meet a gap are left out later.
    """
    if book.is_empty():
        empty = np.empty(0)
        return Flows(np.empty(0, np.int64), empty, empty, empty)
    at = -(-ints(book, "ts_ms") // 1000)
    traded_at = -(-ints(trades, "ts_ms") // 1000)
    first, last = int(at[0]), int(at[-1])
    size = last - first + 1
    inside = (traded_at >= first) & (traded_at <= last)

    def per_second(seconds: Ints, values: Floats) -> Floats:
        return np.asarray(np.bincount(seconds - first, weights=values, minlength=size), dtype=np.float64)

    return Flows(
        np.arange(first, last + 1, dtype=np.int64) * 1000,
        per_second(at, floats(book, "ofi_value")),
        per_second(at, floats(book, "ofi_l1")),
        per_second(traded_at[inside], floats(trades, "delta")[inside]),
    )


def depth_proxy(book: pl.DataFrame) -> pl.DataFrame:
    """Return per half hour what stands for the depth of the best level: `half_hour_ms`, `depth_proxy` (base asset).

    No table holds the queue sizes. But when the mid moves, a whole best queue was taken away or put up, and its size is what
    `ofi_l1` records: the median |ofi_l1| over buckets with one update in which the mid changed. Where a half hour has fewer
    than fifteen of them (a source with many updates a bucket), |ofi_l1| / n_updates of all buckets whose mid changed.
    """
    moved = book.with_columns(
        half_hour_ms=_half_hour(pl.col("ts_ms")), moved=pl.col("mid").diff().fill_null(0.0) != 0
    ).filter("moved")
    size = pl.col("ofi_l1").abs()
    one = pl.col("n_updates") == 1
    alone = size.filter(one).median()
    spread_out = (size / pl.col("n_updates")).median()
    enough = one.sum() >= FEWEST_WINDOWS
    proxy = pl.when(enough).then(alone).otherwise(spread_out)
    return moved.group_by("half_hour_ms").agg(depth_proxy=proxy).sort("half_hour_ms")


def _half_hour(times: pl.Expr) -> pl.Expr:
    """Return the start of the half hour `(start, start + 30 min]` a time belongs to (buckets include their end).

    See docs/specification/index.md#buckets.
    """
    return (times - 1) // HALF_HOUR_MS * HALF_HOUR_MS


def impact(flow: Flows, depths: pl.DataFrame, quotes: Quotes, symbol: str, *, seed: int) -> Impact:
    """Regress the change of the mid (bps) on the flow of the same window, within half hours.

    Args:
        flow: the symbol's flows per second.
        depths: the result of `depth_proxy`.
        quotes: mids and gaps; a window that meets a gap or lacks a quote is left out.
        symbol: names the rows of the result.
        seed: of the shuffle that breaks the link between flow and price.
    """
    depth_of = dict(zip(ints(depths, "half_hour_ms").tolist(), floats(depths, "depth_proxy").tolist(), strict=True))
    rows: list[dict[str, object]] = []
    for window_s in WINDOWS_S:
        digest = hashlib.sha256(f"{seed}|{symbol}|{window_s}".encode()).digest()
        random = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        where: dict[str, object] = {"symbol": symbol, "window_s": window_s}
        for half_hour, windows in _half_hours(_windows(flow, quotes, window_s)):
            shared = where | {"half_hour_ms": half_hour, "n": len(windows.change)}
            shared["depth_proxy"] = depth_of.get(half_hour, math.nan)
            rows += [shared | fit for fit in _half_hour_rows(windows, random)]
    half_hours = table(rows, HALF_HOURS)
    return Impact(half_hours, _summary(half_hours), _depth_slopes(half_hours))


@dataclass(frozen=True)
class _Windows:
    ends: Ints
    change: Floats
    ofi: Floats
    ofi_l1: Floats
    trades: Floats

    def take(self, rows: Bools) -> _Windows:
        return _Windows(self.ends[rows], self.change[rows], self.ofi[rows], self.ofi_l1[rows], self.trades[rows])


def _windows(flow: Flows, quotes: Quotes, window_s: int) -> _Windows:
    """Sum the flows into windows `(t - window, t]` that divide the hour, with the change of the mid over each."""
    width = window_s * 1000
    if not flow.times.size:
        return _Windows(flow.times, flow.ofi, flow.ofi, flow.ofi, flow.ofi)
    index = -(-flow.times // width)
    first = int(index[0])
    size = int(index[-1]) - first + 1
    ends = np.arange(first, first + size, dtype=np.int64) * width
    change = (quotes.at(ends) - quotes.at(ends - width)) * BPS

    def total(values: Floats) -> Floats:
        return np.asarray(np.bincount(index - first, weights=values, minlength=size), dtype=np.float64)

    windows = _Windows(ends, change, total(flow.ofi), total(flow.ofi_l1), total(flow.trades))
    whole = (ends - width >= flow.times[0] - 1000) & ~np.isnan(change) & ~quotes.gaps.crossed(ends - width, ends)
    return windows.take(whole)


def _half_hours(windows: _Windows) -> Iterator[tuple[int, _Windows]]:
    start = (windows.ends - 1) // HALF_HOUR_MS * HALF_HOUR_MS
    for half_hour in np.unique(start).tolist():
        inside = windows.take(start == half_hour)
        if len(inside.ends) >= FEWEST_WINDOWS:
            yield int(half_hour), inside


def _half_hour_rows(windows: _Windows, random: np.random.Generator) -> Iterator[dict[str, object]]:
    columns = {"ofi": [windows.ofi], "ofi_l1": [windows.ofi_l1], "trades": [windows.trades]}
    columns["ofi+trades"] = [windows.ofi, windows.trades]
    order = random.permutation(len(windows.change))
    for model in MODELS:
        flow = np.stack(columns[model], axis=1)
        fit = _fit(flow, windows.change)
        if fit is None:
            continue
        alone = model == "trades"
        slopes, t = (math.nan, *fit.slopes) if alone else fit.slopes, (math.nan, *fit.t) if alone else fit.t
        yield {
            "model": model,
            "slope": float(slopes[0]),
            "t": float(t[0]),
            "slope_trades": float(slopes[1]) if len(slopes) > 1 else math.nan,
            "t_trades": float(t[1]) if len(t) > 1 else math.nan,
            "r2": fit.r2,
            "r2_shuffled": _r2(flow[order], windows.change),
            "r2_lag1": _next_r2(flow, windows),
        }


def _fit(flow: Floats, change: Floats) -> _Fit | None:
    """Return an ordinary least-squares fit with Newey-West t-statistics; None where flow or price never varies.

    Lags by the rule of Newey & West (1994): floor(4 (n/100)^(2/9)).
    """
    if np.ptp(change) == 0 or bool((np.ptp(flow, axis=0) == 0).any()):
        return None
    lags = int(4 * (len(change) / 100) ** (2 / 9))
    # Flows differ by orders of magnitude between symbols: fit in units of their spread, then say it per base asset.
    unit = flow.std(axis=0)
    model = sm.OLS(change, sm.add_constant(flow / unit)).fit(cov_type="HAC", cov_kwds={"maxlags": lags})
    slopes = np.asarray(model.params[1:], dtype=np.float64) / unit
    return _Fit(slopes, np.asarray(model.tvalues[1:], dtype=np.float64), float(model.rsquared))


def _r2(flow: Floats, change: Floats) -> float:
    if len(change) <= flow.shape[1] + 1 or np.ptp(change) == 0:
        return math.nan
    centred, target = flow - flow.mean(axis=0), change - change.mean()
    spread = centred.std(axis=0)
    if bool((spread == 0).any()):
        return math.nan
    residual = target - (centred / spread) @ np.linalg.lstsq(centred / spread, target, rcond=None)[0]
    return 1 - float(residual @ residual) / float(target @ target)


def _next_r2(flow: Floats, windows: _Windows) -> float:
    """Return R^2 of the change of a window on the flow of the window just before it; holes between windows are left out."""
    step = np.diff(windows.ends)
    if not step.size:
        return math.nan
    follows = step == step.min()
    return _r2(flow[:-1][follows], windows.change[1:][follows])


def _summary(half_hours: pl.DataFrame) -> pl.DataFrame:
    """Average the half hours of each symbol, window and model, each by its number of windows.

    Whole half hours weigh the same; the pieces at the ends of a recording weigh what they hold. `share_significant` is the
    share of half hours with |t| > 1.96.
    """
    leading = pl.when(pl.col("model") == "trades").then(pl.col("t_trades")).otherwise(pl.col("t"))

    def average(name: str) -> pl.Expr:
        known = pl.col("n").filter(pl.col(name).is_not_null())
        return pl.when(known.sum() > 0).then((pl.col(name) * pl.col("n")).sum() / known.sum()).alias(name)

    grouped = half_hours.group_by("symbol", "window_s", "model", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("half_hours"),
        *(average(name) for name in (*_FIT, "r2_shuffled", "r2_lag1")),
        pl.col("n").sum(),
        (leading.abs() > 1.96).mean().alias("share_significant"),
    )
    return grouped.select(SUMMARY.names())


def _depth_slopes(half_hours: pl.DataFrame) -> pl.DataFrame:
    """Fit log(slope) = c - exponent * log(depth proxy) over half hours with a positive slope; the theory says exponent 1."""
    rows: list[dict[str, object]] = []
    usable = half_hours.filter((pl.col("model") == "ofi_l1") & (pl.col("slope") > 0) & (pl.col("depth_proxy") > 0))
    for (symbol, window_s), group in usable.group_by(["symbol", "window_s"], maintain_order=True):
        row: dict[str, object] = {"symbol": symbol, "window_s": window_s, "half_hours": group.height}
        depth = np.log(floats(group, "depth_proxy"))
        if group.height >= 5 and np.ptp(depth) > 0:
            model = sm.OLS(np.log(floats(group, "slope")), sm.add_constant(-depth)).fit(cov_type="HC3")
            row |= {"exponent": float(model.params[1]), "error": float(model.bse[1]), "r2": float(model.rsquared)}
        rows.append(row)
    return table(rows, DEPTH)
