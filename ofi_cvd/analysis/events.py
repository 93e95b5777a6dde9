"""Event study: the mean price path around each kind of event, beside the path around matched random times."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from scipy import stats

from ofi_cvd.analysis.arrays import table
from ofi_cvd.analysis.metrics import SLICE_COLUMNS, slices_of
from ofi_cvd.dataset.arrays import Bools, Floats, Ints, floats, ints
from ofi_cvd.dataset.quotes import BPS, Quotes
from ofi_cvd.schemas import EVENT_TYPES

BEFORE_S, AFTER_S, STEP_S = 60, 900, 5
OFFSETS: Final = tuple(range(-BEFORE_S, AFTER_S + 1, STEP_S))
CLUSTER_MS: Final = AFTER_S * 1000
FEWEST_CLUSTERS: Final = 4

_EVENT_KEY = dict.fromkeys(("symbol", "event_type", "slice_kind", "slice"), pl.String())
_BAND = ("mean_bps", "lo_bps", "hi_bps", "control_mean_bps", "control_lo_bps", "control_hi_bps")
PATHS: Final = pl.Schema(
    _EVENT_KEY | {"offset_s": pl.Int64(), "n": pl.Int64(), "control_n": pl.Int64()} | dict.fromkeys(_BAND, pl.Float64())
)
_WIN = ("win_rate", "control_win_rate", "mean_bps", "control_mean_bps", "excess_bps", "p_value", "p_adjusted")
WINS: Final = pl.Schema(
    _EVENT_KEY | {"horizon_s": pl.Int64(), "n": pl.Int64(), "control_n": pl.Int64()} | dict.fromkeys(_WIN, pl.Float64())
)


@dataclass(frozen=True)
class Study:
    """Paths by offset and outcomes by horizon, for one symbol."""

    paths: pl.DataFrame
    wins: pl.DataFrame


@dataclass(frozen=True)
class Moments:
    """Mean of clustered observations with its standard error, both NaN where not known."""

    count: Ints
    mean: Floats
    error: Floats
    critical: Floats


def directions(events: pl.DataFrame) -> pl.Series:
    """Return +1 or -1 for each event: the way its name says the price should go.

    Lows and bullish divergences up, highs and bearish ones down; an anomaly the way of its own z or return; a conflict the
    way of the order-flow imbalance. Fixed beforehand, never chosen by the outcome. 0 where the sign cannot be told.
    """
    kind = pl.col("event_type")
    meta = pl.col("meta_json")

    def fact(name: str) -> pl.Expr:
        return meta.str.json_path_match(f"$.{name}").cast(pl.Float64, strict=False).sign()

    named_up = kind.is_in(["pivot_low", "divergence_bull", "divergence_hidden_bull"])
    named_down = kind.is_in(["pivot_high", "divergence_bear", "divergence_hidden_bear"])
    signed = pl.coalesce(fact("z"), fact("ret"), fact("ofi_flow_z"), pl.lit(0.0))
    way = pl.when(named_up).then(1.0).when(named_down).then(-1.0).otherwise(signed)
    return events.select(direction=way).get_column("direction")


def study(
    events: pl.DataFrame, seconds: pl.DataFrame, symbol: str, quotes: Quotes, horizons_s: tuple[int, ...], *,
    controls: int, seed: int,
) -> Study:  # fmt: skip
    """Return the event study of one symbol.

    Args:
        events: rows of the events table.
        seconds: `ts_ms` and labels of the fusion table: the pool that control times are drawn from.
        symbol: names the rows of the result.
        quotes: prices; a path is null where it crosses a gap.
        horizons_s: horizons of the win rates.
        controls: random times per event, drawn from seconds with the event's session and scenario.
        seed: of the draw; every event type has its own stream of random numbers.
    """
    paths: list[dict[str, object]] = []
    wins: list[dict[str, object]] = []
    events = events.with_columns(direction=directions(events))
    for event_type in EVENT_TYPES:
        these = events.filter((pl.col("event_type") == event_type) & (pl.col("direction") != 0))
        if these.is_empty():
            continue
        times, way = ints(these, "ts_ms"), floats(these, "direction")
        random_times = matched_times(these, seconds, controls, _generator(seed, symbol, event_type))
        random_way = np.repeat(way, controls)
        real = _moves(times, way, quotes, horizons_s)
        control = _moves(random_times, random_way, quotes, horizons_s)
        for piece in slices_of(these):
            key: dict[str, object] = {"symbol": symbol, "event_type": event_type, "slice_kind": piece.kind}
            key["slice"] = piece.name
            kept = np.repeat(piece.rows, controls)
            paths += _path_rows(key, real, piece.rows, control, kept)
            wins += _win_rows(key, real, piece.rows, control, kept)
    return Study(table(paths, PATHS), table(wins, WINS))


def matched_times(events: pl.DataFrame, seconds: pl.DataFrame, controls: int, random: np.random.Generator) -> Ints:
    """Return `controls` random seconds per event, in the order of the events, from seconds with the same session and scenario.

    Events whose labels no second shares draw from all seconds. -1, a time without prices, where there is no second at all.
    """
    result = np.full(events.height * controls, -1, dtype=np.int64)
    pool = ints(seconds, "ts_ms")
    if not pool.size:
        return result
    match = ("session", "scenario_2x2")
    stratum = _joined(seconds, match)
    wanted = _joined(events, match)
    for name in sorted(wanted.unique().to_list()):
        at = np.flatnonzero(np.repeat((wanted == name).to_numpy(), controls))
        own = pool[(stratum == name).to_numpy()]
        result[at] = random.choice(own if own.size else pool, size=at.size)
    return result


def _joined(rows: pl.DataFrame, columns: tuple[str, ...]) -> pl.Series:
    parts = [pl.col(column).fill_null("-") for column in columns]
    return rows.select(key=pl.concat_str(parts, separator="|")).get_column("key")


def _generator(seed: int, symbol: str, event_type: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}|{symbol}|{event_type}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


@dataclass(frozen=True)
class _Moves:
    times: Ints
    path: Floats  # events x OFFSETS, bps in the event's direction
    outcome: dict[int, Floats]  # by horizon, the same


def _moves(times: Ints, way: Floats, quotes: Quotes, horizons_s: tuple[int, ...]) -> _Moves:
    columns = [quotes.forward(times, s * 1000) if s > 0 else quotes.backward(times, -s * 1000) for s in OFFSETS]
    path = np.stack(columns, axis=1) * way[:, None] * BPS
    return _Moves(times, path, {h: quotes.forward(times, h * 1000) * way * BPS for h in horizons_s})


def clustered(values: Floats, times: Ints) -> Moments:
    """Return the column means of `values` (rows x columns, NaN unknown) with errors clustered by quarter hour.

    Events closer than the path is long share prices; those of one quarter hour are taken as one observation of their sum.
    The critical value is Student's with the number of quarter hours less one; fewer than four give no band.
    """
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    filled = np.where(known, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=0) / count
        cluster = np.unique(times // CLUSTER_MS, return_inverse=True)[1]
        size = int(cluster.max()) + 1 if cluster.size else 0
        sums, seen = np.zeros((size, values.shape[1])), np.zeros((size, values.shape[1]))
        np.add.at(sums, cluster, np.where(known, filled - mean, 0.0))
        np.add.at(seen, cluster, known)
        groups = (seen > 0).sum(axis=0)
        error = np.sqrt((sums**2).sum(axis=0) * groups / (groups - 1)) / count
        critical = np.asarray(stats.t.ppf(0.975, np.maximum(groups - 1, 1)), dtype=np.float64)
    error = np.where(groups >= FEWEST_CLUSTERS, error, np.nan)
    return Moments(np.asarray(count, np.int64), mean, error, critical)


def _path_rows(
    key: dict[str, object], real: _Moves, rows: Bools, control: _Moves, kept: Bools
) -> list[dict[str, object]]:
    event = clustered(real.path[rows], real.times[rows])
    other = clustered(control.path[kept], control.times[kept])
    half, other_half = event.critical * event.error, other.critical * other.error
    return [
        key
        | {"offset_s": offset, "n": int(event.count[k]), "control_n": int(other.count[k])}
        | {"mean_bps": event.mean[k], "lo_bps": event.mean[k] - half[k], "hi_bps": event.mean[k] + half[k]}
        | {
            "control_mean_bps": other.mean[k],
            "control_lo_bps": other.mean[k] - other_half[k],
            "control_hi_bps": other.mean[k] + other_half[k],
        }
        for k, offset in enumerate(OFFSETS)
    ]


def _win_rows(
    key: dict[str, object], real: _Moves, rows: Bools, control: _Moves, kept: Bools
) -> list[dict[str, object]]:
    result: list[dict[str, object]] = []
    for horizon_s, outcome in real.outcome.items():
        mine, theirs = outcome[rows], control.outcome[horizon_s][kept]
        event, other = clustered(mine[:, None], real.times[rows]), clustered(theirs[:, None], control.times[kept])
        excess = float(event.mean[0] - other.mean[0])
        error = math.hypot(float(event.error[0]), float(other.error[0]))
        p_value = math.nan
        if error > 0:  # false for NaN as well
            # The smaller critical value would be too sure of itself: the events' own clusters decide.
            scale = float(event.critical[0]) / float(stats.norm.ppf(0.975))
            p_value = 2 * float(stats.norm.sf(abs(excess) / error / scale))
        result.append(
            key
            | {"horizon_s": horizon_s, "n": int(event.count[0]), "control_n": int(other.count[0])}
            | {"win_rate": _win_rate(mine), "control_win_rate": _win_rate(theirs), "mean_bps": float(event.mean[0])}
            | {"control_mean_bps": float(other.mean[0]), "excess_bps": excess, "p_value": p_value, "p_adjusted": None}
        )
    return result


def _win_rate(outcome: Floats) -> float:
    """Return the share of moves in the event's direction among those that moved; NaN if none did."""
    moved = outcome[~np.isnan(outcome) & (outcome != 0)]
    return float(np.mean(moved > 0)) if moved.size else math.nan


LABEL_COLUMNS: Final = ("ts_ms", *SLICE_COLUMNS)
EVENT_COLUMNS: Final = ("ts_ms", "event_type", "meta_json", *SLICE_COLUMNS)
