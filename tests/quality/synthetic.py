"""Published datasets made up on the spot: part files, checkpoint and ledger lines, with faults on request."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.publish.parts import folder_of, part_name
from ofi_cvd.schemas import KINDS, SPEC_VERSION, TABLES, Kind
from ofi_cvd.spool.layout import ledger_path

START_MS = 1_760_572_800_000  # 2025-10-16T00:00:00Z
Tables = dict[Kind, pl.DataFrame]
Fault = Callable[[Tables], Tables]


@dataclass(frozen=True)
class Market:
    """A made-up market; every figure of it can be told beforehand."""

    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")
    start_ms: int = START_MS
    hours: float = 2
    tps: int = 4
    slice_secs: int = 3600
    latency_ms: float = 30.0
    offset_ms: float = 5.0
    events_per_hour: int = 20
    seed: int = 7
    faults: dict[str, tuple[Fault, ...]] = field(default_factory=dict)

    @property
    def end_ms(self) -> int:
        return self.start_ms + int(self.hours * HOUR_MS)


def tables(market: Market, symbol: str) -> Tables:
    """Return the five tables of one symbol, one trade every 1/tps seconds and ten ofi rows a second."""
    random = np.random.default_rng([market.seed, *symbol.encode()])
    seconds = int(market.hours * 3600)
    n = seconds * market.tps
    ts = market.start_ms + 1 + np.arange(n) * 1000 // market.tps
    delta = np.round(random.normal(0, 1, n), 3)
    delta[delta == 0] = 0.001
    price = np.round(100 * np.exp(np.cumsum(random.normal(0, 2e-5, n))), 2)
    latency = market.latency_ms + random.gamma(2, 4, n)
    outlier = random.random(n) < 0.003
    z_raw = np.where(outlier, 9 * np.sign(delta), delta)
    known = pl.int_range(n, eager=True) >= 50
    trades = pl.DataFrame(
        {
            "ts_ms": ts, "event_ts_ms": ts + 2, "price": price, "qty": abs(delta), "agg_trade_id": 1000 + np.arange(n),
            "latency_ms": latency, "recv_rate_tps": np.full(n, float(market.tps)), "recv_ts_ms": ts + 2,
            "delta": delta, "cvd": np.round(np.cumsum(delta), 3), "z_raw": z_raw, "z_cvd": np.clip(z_raw, -8, 8),
            "scale": np.full(n, 0.8), "sigma_floor": np.full(n, 0.5), "floor_used": random.random(n) < 0.2,
        }
    ).with_columns(
        side=pl.when(pl.col("delta") > 0).then(pl.lit("buy")).otherwise(pl.lit("sell")),
        gap_before=pl.lit(0), cvd_complete=pl.lit(value=True),
        **{name: pl.when(known).then(name) for name in ("z_raw", "z_cvd", "scale", "sigma_floor", "floor_used")},
    )  # fmt: skip
    m = seconds * 10
    books = pl.DataFrame({"ts_ms": market.start_ms + 100 * np.arange(m), "ofi_value": random.normal(0, 5, m)})
    books = books.with_columns(
        ofi_z=pl.col("ofi_value") / 5, scale=pl.lit(5.0), ofi_l1=pl.col("ofi_value") / 2, n_updates=pl.lit(1),
        mid=pl.lit(100.0), spread_bps=pl.lit(1.0),
    )  # fmt: skip
    fusion = pl.DataFrame(
        {"ts_ms": market.start_ms + 1000 * np.arange(seconds), "score": random.normal(0, 0.7, seconds)}
    )
    fusion = fusion.with_columns(
        score_z=pl.col("score"), ofi_flow=pl.lit(1.0), cvd_flow=pl.lit(1.0), ofi_flow_z=pl.col("score"),
        cvd_flow_z=pl.col("score"), consistency=pl.lit(1.0), mid=pl.lit(100.0),
    )  # fmt: skip
    count = int(market.events_per_hour * market.hours)
    events = pl.DataFrame(
        {
            "ts_ms": market.start_ms + np.arange(count) * (seconds * 1000 // max(count, 1)),
            "event_type": [
                ("pivot_high", "pivot_low", "divergence_bear", "anomaly_price")[i % 4] for i in range(count)
            ],
            "meta_json": ["{}"] * count,
        },
        schema={"ts_ms": pl.Int64, "event_type": pl.String, "meta_json": pl.String},
    )
    raw = {"prices": trades, "ofi": books, "cvd": trades, "fusion": fusion, "events": events}
    found: Tables = {}
    for kind in KINDS:
        labelled = raw[kind].with_columns(
            _labels(), symbol=pl.lit(symbol), fee_tier=pl.lit("TM"), suspect=pl.lit(value=False)
        )
        labelled = labelled.with_columns(
            scenario_2x2=pl.col("regime").str.head(1) + "_" + pl.col("vol_bucket").str.head(1)
        )
        schema = TABLES[kind].schema
        labelled = labelled.with_columns(
            pl.lit(None).alias(name) for name in schema if name not in labelled.columns and kind == "ofi"
        )
        if kind in {"prices", "cvd"}:
            labelled = labelled.with_columns(id_epoch=0)
        found[kind] = labelled.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    for fault in market.faults.get(symbol, ()):
        found = fault(found)
    return found


def _labels() -> list[pl.Expr]:
    hour = pl.col("ts_ms") // HOUR_MS % 24
    block = pl.col("ts_ms") // 300_000  # each scenario five minutes out of twenty
    return [
        pl.when(hour < 8)
        .then(pl.lit("Tokyo"))
        .when(hour < 16)
        .then(pl.lit("London"))
        .otherwise(pl.lit("NY"))
        .alias("session"),
        pl.when(block % 4 < 2).then(pl.lit("Active")).otherwise(pl.lit("Quiet")).alias("regime"),
        pl.when(block % 2 == 0).then(pl.lit("High")).otherwise(pl.lit("Low")).alias("vol_bucket"),
    ]


def publish(root: Path, market: Market, *, checkpoint: bool = True) -> Path:
    """Write `root/ofi_cvd`, `root/state/checkpoint.json` and `root/spool`; return the dataset."""
    data = root / "ofi_cvd"
    length = market.slice_secs * 1000
    book: dict[str, object] = {}
    for symbol in market.symbols:
        rows = tables(market, symbol)
        hours: dict[str, dict[str, dict[str, object]]] = {}
        counts = {kind: write(data, kind, symbol, frame, market.slice_secs) for kind, frame in rows.items()}
        for start in range(market.start_ms // length * length, market.end_ms, length):
            hour = hours.setdefault(str(start // HOUR_MS * HOUR_MS), {"slices": {}, "final": True})
            facts = {kind: counts[kind].get(start, 0) for kind in KINDS}
            hour["slices"][str(start)] = {"end_ms": start + length, "rows": facts}
        book[symbol] = {"hours": hours}
    if checkpoint:
        (root / "state").mkdir(parents=True, exist_ok=True)
        document = {"version": 1, "params_fingerprint": "f" * 64, "package_version": "0.1.0", "symbols": book}
        (root / "state" / "checkpoint.json").write_text(json.dumps(document), "utf-8")
    for minute in range(0, int(market.hours * 60), 10):
        at = market.start_ms + minute * 60_000
        ledger(root, at, "clock", offset_ms=market.offset_ms, rtt_ms=20.0)
    ledger(root, market.start_ms, "connect", conn="m1")
    ledger(root, market.end_ms, "shutdown")
    return data


def write(data: Path, kind: Kind, symbol: str, frame: pl.DataFrame, slice_secs: int) -> dict[int, int]:
    """Write one table as parts; return rows by slice start."""
    length = slice_secs * 1000
    counts = {}
    for (start,), rows in frame.group_by(pl.col("ts_ms") // length * length, maintain_order=True):
        folder = folder_of(data, symbol, kind, start)
        folder.mkdir(parents=True, exist_ok=True)
        metadata = {
            "spec_version": SPEC_VERSION, "package_version": "0.1.0", "params_fingerprint": "f" * 64, "market": "usdm",
            "slice_secs": str(slice_secs),
        }  # fmt: skip
        rows.write_parquet(folder / part_name(start), compression="snappy", metadata=metadata)
        counts[start] = rows.height
    return counts


def ledger(root: Path, at_ms: int, event: str, **facts: object) -> None:
    """Append one ledger line."""
    path = ledger_path(root / "spool", at_ms // HOUR_MS * HOUR_MS)
    path.parent.mkdir(parents=True, exist_ok=True)
    row = {"recv_ns": at_ms * 1_000_000, "event": event, "symbol": None, "stream": None, "conn": None, **facts}
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(row) + "\n")


def hole(start: int, count: int, *, declared: bool = False) -> Fault:
    """Lose `count` trades from row `start`; `declared` writes them into gap_before as the builder would."""

    def apply(found: Tables) -> Tables:
        lost = pl.int_range(pl.len()).is_between(start, start + count - 1)
        prices = found["prices"].filter(~lost)
        if declared:
            at = pl.int_range(pl.len()) == start
            prices = prices.with_columns(gap_before=pl.when(at).then(count).otherwise("gap_before").cast(pl.Int64))
        return {**found, "prices": prices, "cvd": found["cvd"].filter(~lost)}

    return apply


def edit(kind: Kind, *exprs: pl.Expr) -> Fault:
    """Overwrite columns of one table."""
    return lambda found: {**found, kind: found[kind].with_columns(*exprs)}


def twice(kind: Kind, share: float) -> Fault:
    """Store the first `share` of a table's rows twice."""

    def apply(found: Tables) -> Tables:
        frame = found[kind]
        return {**found, kind: pl.concat([frame, frame.head(int(frame.height * share))]).sort(TABLES[kind].order)}

    return apply


def with_fault(market: Market, fault: Fault, symbol: str | None = None) -> Market:
    """Return the market with a fault in one symbol (by default the first)."""
    symbol = symbol or market.symbols[0]
    return replace(market, faults={**market.faults, symbol: (*market.faults.get(symbol, ()), fault)})
