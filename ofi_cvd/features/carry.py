"""What an hour hands to the next: scalars and trailing rows, and their file.

Everything here can be recomputed from the spool. Two states are the same state when their files have the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

import polars as pl

SCALAR_TYPES: Final[dict[str, pl.DataType]] = {
    "first_trade_ms": pl.Int64(),
    "last_seen_id": pl.Int64(),
    "pending_missing": pl.Int64(),
    "last_trade_ms": pl.Int64(),
    "trades_so_far": pl.Int64(),
    "cvd_units": pl.Int128(),
    "cvd_complete": pl.Boolean(),
    "size_sum_fast": pl.Float64(),
    "size_count_fast": pl.Float64(),
    "size_sum_slow": pl.Float64(),
    "size_count_slow": pl.Float64(),
    "last_update_ms": pl.Int64(),
    "last_receipt_ns": pl.Int64(),
    "first_ofi_ms": pl.Int64(),
    "first_flow_ms": pl.Int64(),
    "first_cvd_flow_ms": pl.Int64(),
    "first_score_ms": pl.Int64(),
}

TRAILING_ROWS: Final[dict[str, pl.Schema]] = {
    "trades": pl.Schema(
        {
            "ts_ms": pl.Int64,
            "price": pl.Float64,
            "delta_units": pl.Int128,
            "cvd_units": pl.Int128,
            "gap_before": pl.Int64,
        }
    ),
    "book": pl.Schema({}),  # the last update as it was read: its columns are those of the source
    "updates": pl.Schema({}),  # contributing updates of an unfinished bucket: a column for each level in effect
    "ofi": pl.Schema({"ts_ms": pl.Int64, "flow_units": pl.Int128, "mid": pl.Float64}),
    "fusion": pl.Schema(
        {"ts_ms": pl.Int64, "flow_units": pl.Int128, "delta_units": pl.Int128, "score_units": pl.Int128}
    ),
    "grid": pl.Schema(
        {
            "ts_ms": pl.Int64,
            "price": pl.Float64,
            "trades": pl.Int64,
            "ret_units": pl.Int64,
            "rv": pl.Float64,
            "delta_so_far": pl.Int128,
            "flow_so_far": pl.Int128,
            "gaps_so_far": pl.Int64,
        }
    ),
    "day": pl.Schema({"ts_ms": pl.Int64, "rv": pl.Float64, "trades_in_window": pl.Int64}),
    "breaks": pl.Schema({"end_ms": pl.Int64}),
    "pivots": pl.Schema(
        {
            "is_high": pl.Boolean,
            "pivot_ts_ms": pl.Int64,
            "price": pl.Float64,
            "delta_so_far": pl.Int128,
            "flow_so_far": pl.Int128,
            "gaps_so_far": pl.Int64,
        }
    ),
    "emitted": pl.Schema({"event_type": pl.String, "ts_ms": pl.Int64}),
}


@dataclass(frozen=True)
class Scalars:
    """Single values an hour opens with; None where nothing has been seen yet."""

    first_trade_ms: int | None = None
    last_seen_id: int | None = None
    pending_missing: int = 0
    last_trade_ms: int | None = None
    trades_so_far: int = 0
    cvd_units: int = 0
    cvd_complete: bool | None = None
    size_sum_fast: float = 0.0
    size_count_fast: float = 0.0
    size_sum_slow: float = 0.0
    size_count_slow: float = 0.0
    last_update_ms: int | None = None
    last_receipt_ns: int | None = None
    first_ofi_ms: int | None = None
    first_flow_ms: int | None = None
    first_cvd_flow_ms: int | None = None
    first_score_ms: int | None = None


@dataclass(frozen=True)
class CarryState:
    """The state an hour of one symbol opens with; without arguments, that of a symbol never seen."""

    scalars: Scalars = field(default_factory=Scalars)
    trailing_rows: Mapping[str, pl.DataFrame] = field(
        default_factory=lambda: {name: pl.DataFrame(schema=schema) for name, schema in TRAILING_ROWS.items()}
    )

    def rows(self, name: str) -> pl.LazyFrame:
        """Return trailing rows, to be put in front of the hour's own rows."""
        return self.trailing_rows[name].lazy()

    def to_bytes(self) -> bytes:
        """Return the state as one Parquet file: one row, a column a scalar, a list column for each of the trailing rows."""
        scalars = pl.DataFrame(
            {item.name: [getattr(self.scalars, item.name)] for item in fields(self.scalars)}, schema=SCALAR_TYPES
        )
        rows = [
            frame.select(pl.struct(pl.all()).implode().alias(f"rows_{name}")) if frame.width else pl.DataFrame()
            for name, frame in self.trailing_rows.items()
        ]
        row = pl.concat([scalars, *(frame for frame in rows if frame.width)], how="horizontal")
        out = io.BytesIO()
        row.write_parquet(out, compression="zstd", compression_level=1, statistics=False)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> CarryState:
        """Return the state that `to_bytes` wrote."""
        row = pl.read_parquet(io.BytesIO(data))
        scalars = row.select(pl.col(name).cast(dtype) for name, dtype in SCALAR_TYPES.items()).row(0, named=True)
        rows: dict[str, pl.DataFrame] = {}
        for name, schema in TRAILING_ROWS.items():
            column = f"rows_{name}"
            frame = row.select(pl.col(column).explode().struct.unnest()) if column in row.columns else pl.DataFrame()
            rows[name] = frame.cast(schema) if schema else frame
        return cls(Scalars(**scalars), rows)
