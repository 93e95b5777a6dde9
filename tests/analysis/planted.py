"""Published datasets with known answers: forward returns, past returns, impact and event drift are put in by hand.

Second k ends at T = start + (k + 1) s. Its signal is known at T; the mid then jumps once, three quarters of a second later, by
`SLOPE * signal + NOISE * random` bps. So the first quote after T is still the old price and the jump belongs to T's label.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from ofi_cvd.publish.parts import folder_of, part_name
from ofi_cvd.schemas import TABLES, Kind

START_MS = 1_760_612_400_000  # 2025-10-16 11:00 UTC
HOUR_MS = 3_600_000
SLOPE, NOISE = 1.0, 2.0  # bps
IMPACT, FLOW_NOISE = 0.5, 1.0  # bps per base asset, base asset
DRIFT_BPS, DRIFT_SECS = 12.0, 60  # after every pivot_low

Tables = dict[Kind, pl.DataFrame]


@dataclass(frozen=True)
class Gap:
    """Seconds `[first, last)` without any row; the rows of the next five minutes are suspect."""

    first: int
    last: int


def tables(
    seconds: int = 7200, *, seed: int = 0, symbol: str = "BTCUSDT", gaps: tuple[Gap, ...] = (), books: int = 10,
    trades: int = 3, start_ms: int = START_MS, tier: str | None = "TM",
) -> Tables:  # fmt: skip
    """Return the five tables of one symbol."""
    random = np.random.default_rng(seed)
    signal = random.normal(size=seconds)
    slots = np.arange(
        min(120, seconds - 1), max(seconds - 1000, 121), 2 * DRIFT_SECS
    )  # apart, so that drifts do not add up
    lows = np.sort(random.choice(slots, size=max(1, len(slots) // 3), replace=False))
    drift = np.zeros(seconds)
    for low in lows:
        drift[low : low + DRIFT_SECS] += DRIFT_BPS / DRIFT_SECS
    jump = SLOPE * signal + NOISE * random.normal(size=seconds) + drift  # bps, three quarters of a second after T
    ends = start_ms + 1000 * (np.arange(seconds, dtype=np.int64) + 1)

    step = 1000 // books
    at = (start_ms + step * (np.arange(seconds * books, dtype=np.int64) + 1)).astype(np.int64)
    jumped = np.searchsorted(ends + 750, at, side="right")
    log_mid = np.r_[0.0, np.cumsum(jump)][jumped] / 1e4 + np.log(30_000.0)
    moves = np.diff(np.r_[0.0, log_mid]) * 1e4
    moves[0] = 0
    flow = moves / IMPACT + FLOW_NOISE * random.normal(size=len(at)) * (np.abs(moves) > 0)
    book = pl.DataFrame({"ts_ms": at, "ofi_value": flow, "ofi_z": random.normal(size=len(at)), "mid": np.exp(log_mid)})
    book = book.with_columns(scale=1.0, ofi_l1=pl.col("ofi_value") * 2, n_updates=1, spread_bps=0.1)
    book = book.with_columns(
        ofi_levels=pl.concat_list(pl.col("ofi_value") * 2),
        queue_imbalance=0.0,
        microprice="mid",
        depth_bid=1.0,
        depth_ask=1.0,
    )

    when = np.sort(start_ms + random.integers(1, seconds * 1000, size=seconds * trades))
    price = np.exp(log_mid[np.minimum(np.searchsorted(at, when), len(at) - 1)])
    delta = random.normal(size=len(when))
    ids = np.arange(1, len(when) + 1)
    tape = pl.DataFrame({"ts_ms": when, "price": price, "qty": np.abs(delta), "agg_trade_id": ids, "delta": delta})
    tape = tape.with_columns(
        event_ts_ms="ts_ms", latency_ms=1.0, recv_rate_tps=3.0, recv_ts_ms="ts_ms", gap_before=0, cvd=pl.col("delta").cum_sum(),
        side=pl.when(pl.col("delta") > 0).then(pl.lit("buy")).otherwise(pl.lit("sell")), z_raw="delta", z_cvd="delta",
        scale=1.0, sigma_floor=0.5, floor_used=False, cvd_complete=True, id_epoch=0,
    )  # fmt: skip

    past = np.r_[0.0, jump[:-1]]
    fusion = pl.DataFrame(
        {"ts_ms": ends, "ofi_flow_z": signal, "cvd_flow_z": past / 2.5, "score": random.normal(size=seconds)}
    )
    fusion = fusion.with_columns(
        score_z=pl.col("ofi_flow_z").shuffle(seed), ofi_flow=0.0, cvd_flow=0.0, consistency=0.0
    )
    fusion = fusion.with_columns(mid=pl.Series(np.exp(log_mid[books - 1 :: books])))

    highs = np.sort(random.choice(slots, size=len(lows), replace=False))
    rows = [(int(ends[k]), "pivot_low", {"price": 1.0}) for k in lows] + [
        (int(ends[k]), "anomaly_ofi", {"z": -7.0}) for k in highs
    ]
    events = pl.DataFrame(
        {
            "ts_ms": [r[0] for r in rows],
            "event_type": [r[1] for r in rows],
            "meta_json": [json.dumps(r[2]) for r in rows],
        }
    ).sort("ts_ms", "event_type")
    frames: dict[Kind, pl.DataFrame] = {"prices": tape, "ofi": book, "cvd": tape, "fusion": fusion, "events": events}
    return {kind: _labelled(frame, kind, symbol, gaps, start_ms, tier) for kind, frame in frames.items()}


def _labelled(
    frame: pl.DataFrame, kind: Kind, symbol: str, gaps: tuple[Gap, ...], start_ms: int, tier: str | None
) -> pl.DataFrame:
    second = pl.col("ts_ms") // 1000
    hour = (pl.col("ts_ms") // HOUR_MS) % 24
    frame = frame.with_columns(
        symbol=pl.lit(symbol), suspect=pl.lit(value=False), fee_tier=pl.lit(tier, dtype=pl.String),
        session=pl.when(hour < 8).then(pl.lit("Tokyo")).when(hour < 16).then(pl.lit("London")).otherwise(pl.lit("NY")),
        regime=pl.when(second // 600 % 2 == 0).then(pl.lit("Active")).otherwise(pl.lit("Quiet")),
        vol_bucket=pl.when(second // 1200 % 2 == 0).then(pl.lit("High")).otherwise(pl.lit("Low")),
    )  # fmt: skip
    frame = frame.with_columns(scenario_2x2=pl.col("regime").str.head(1) + "_" + pl.col("vol_bucket").str.head(1))
    for gap in gaps:
        first, last = start_ms + gap.first * 1000, start_ms + gap.last * 1000
        frame = frame.filter((pl.col("ts_ms") <= first) | (pl.col("ts_ms") > last))
        frame = frame.with_columns(suspect=pl.col("suspect") | pl.col("ts_ms").is_between(last, last + 300_000))
        if kind == "prices":
            onset = frame.filter(pl.col("ts_ms") > last).get_column("ts_ms").min()
            at_onset = pl.col("ts_ms") == onset
            missing = pl.when(at_onset & (at_onset.cum_sum() == 1)).then(7).otherwise(pl.col("gap_before"))
            frame = frame.with_columns(gap_before=missing)
    return frame.select(TABLES[kind].schema.names()).cast(dict(TABLES[kind].schema))


def write(root: Path, symbol_tables: dict[str, Tables]) -> Path:
    """Publish the tables as parts of an hour."""
    for symbol, frames in symbol_tables.items():
        for kind, frame in frames.items():
            hours = frame.with_columns(hour=pl.col("ts_ms") // HOUR_MS * HOUR_MS).partition_by("hour", as_dict=True)
            for (hour,), rows in hours.items():
                folder = folder_of(root, symbol, kind, hour)
                folder.mkdir(parents=True, exist_ok=True)
                rows.drop("hour").write_parquet(folder / part_name(hour))
    return root


def iso(ms: int) -> str:
    """Return an instant as the command line takes it."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
