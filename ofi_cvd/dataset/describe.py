"""What a dataset says of itself: symbols, span, rows, and the parameters it was built with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
import pyarrow.parquet as pq

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.dataset.times import Span
from ofi_cvd.publish.parts import Part
from ofi_cvd.schemas import KINDS

Facts = Mapping[str, str]


def span_of(parts: Sequence[Part], window: pl.Expr | None) -> Span | None:
    """Return the interval that the rows of these parts cover; None without rows.

    Only files of the first and the last hour that has rows in the window are read.
    """
    hours = sorted({part.start_ms // HOUR_MS for part in parts})
    first = next((times for hour in hours if (times := _times(parts, hour, window))), None)
    last = next((times for hour in reversed(hours) if (times := _times(parts, hour, window))), None)
    return Span(first[0], last[1] + 1) if first and last else None


def _times(parts: Sequence[Part], hour: int, window: pl.Expr | None) -> tuple[int, int] | None:
    paths = [part.path for part in parts if part.start_ms // HOUR_MS == hour]
    rows = pl.scan_parquet(paths, hive_partitioning=False, schema={"ts_ms": pl.Int64()}, extra_columns="ignore")
    if window is not None:
        rows = rows.filter(window)
    low, high = rows.select(low=pl.col("ts_ms").min(), high=pl.col("ts_ms").max()).collect().row(0)
    return None if low is None else (int(low), int(high))


def facts_of(parts: Sequence[Part]) -> dict[str, str]:
    """Return the key-value metadata of the newest part; empty without parts."""
    if not parts:
        return {}
    newest = max(parts, key=lambda part: (part.mtime_ns, part.path))
    found = pq.read_metadata(newest.path).metadata or {}
    return {key.decode(): value.decode() for key, value in found.items() if key != b"ARROW:schema"}


def describe(where: str, symbols: Sequence[str], span: Span | None, rows: Mapping[str, int], facts: Facts) -> str:
    """Return a few lines that say what a dataset holds."""
    lines = [f"Dataset {where}"]
    lines.append(f"  symbols     {', '.join(symbols) or 'none'}")
    lines.append(f"  span        {span or 'no rows'}")
    lines.append("  rows        " + ", ".join(f"{kind} {rows[kind]:,}" for kind in KINDS))
    market, print_ = facts.get("market", "unknown"), facts.get("params_fingerprint", "unknown")[:12]
    lines.append(f"  parameters  market {market}, fingerprint {print_}; see .parameters")
    return "\n".join(lines)
