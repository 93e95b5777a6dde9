"""The contract of every table, written once: the writer, the tests and the docs all read it from here.

See docs/specification/tables.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

Kind = Literal["prices", "ofi", "cvd", "fusion", "events"]
KINDS: Final[tuple[Kind, ...]] = ("prices", "ofi", "cvd", "fusion", "events")
SPEC_VERSION: Final = "2"
LABELS: Final = ("session", "regime", "vol_bucket", "scenario_2x2", "fee_tier")
SCENARIOS: Final = ("A_H", "A_L", "Q_H", "Q_L")
EVENT_TYPES: Final = (
    "pivot_high", "pivot_low", "divergence_bull", "divergence_hidden_bull", "divergence_bear",
    "divergence_hidden_bear", "anomaly_ofi", "anomaly_cvd", "anomaly_fusion", "anomaly_price", "conflict",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column: its type, unit, meaning and what a null says (empty: never null)."""

    name: str
    dtype: pl.DataType
    unit: str
    meaning: str
    null: str = ""


@dataclass(frozen=True)
class Table:
    """One table: what a row is, the order of its rows, and its columns (contract columns first, then extras)."""

    kind: Kind
    grain: str
    order: tuple[str, ...]
    contract: tuple[Column, ...]
    extras: tuple[Column, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns in file order."""
        return self.contract + self.extras

    @property
    def schema(self) -> pl.Schema:
        """The Polars schema of a file of this table."""
        return pl.Schema({column.name: column.dtype for column in self.columns})


_I, _F, _S, _B = pl.Int64(), pl.Float64(), pl.String(), pl.Boolean()

_TS = "ms since 1970-01-01 UTC"
_SYMBOL = Column("symbol", _S, "", "exchange symbol, upper case")
_LABELS = (
    Column("session", _S, "", "trading session by UTC hour: Tokyo, London, NY", "hour in no session, or WRITE_SESSION_LABELS=false"),
    Column("regime", _S, "", "Active or Quiet: trades of the last WIN_SECS against ACTIVE_TPS", "warm-up, or after an unrepaired trade outage"),
    Column("vol_bucket", _S, "", "High or Low: realised volatility against its own trailing quantile", "warm-up, or after an unrepaired trade outage"),
    Column("scenario_2x2", _S, "", "first letters of regime and vol_bucket: A_H, A_L, Q_H, Q_L", "where either is null"),
    Column("fee_tier", _S, "", "TL, TM or TH from FEE_TIER", "symbol left out of the map"),
)  # fmt: skip
_SUSPECT = Column("suspect", _B, "", "an unrepaired trade gap, book break or outage ended within the trailing WIN_SECS")
_TOUCH = "a side of the book is missing, or both best quantities are 0"
_WARM = "warm-up: fewer than Z_MIN_ROWS rows or younger than Z_MIN_SECS"
_SCALE0 = f"{_WARM}, or scale is 0"
_MAD = "fewer than MAD_MIN_TRADES previous trades"

TABLES: Final[dict[Kind, Table]] = {
    "prices": Table(
        "prices", "one row per trade", ("agg_trade_id",),
        (
            Column("ts_ms", _I, _TS, "trade time made monotone: running maximum of T in id order"),
            Column("event_ts_ms", _I, _TS, "the exchange's push time", "row fetched later over REST"),
            _SYMBOL,
            Column("price", _F, "quote asset", "trade price"),
            Column("qty", _F, "base asset", "traded quantity"),
            Column("agg_trade_id", _I, "", "the exchange's id of the (aggregate) trade"),
            Column("latency_ms", _F, "ms", "receipt minus push time; negative where the local clock is behind", "row fetched later over REST"),
            Column("recv_rate_tps", _F, "trades/s", "trades of the last 10 s divided by 10", "symbol's trades younger than 10 s"),
            *_LABELS,
        ),
        (
            Column("side", _S, "", "aggressor: buy or sell"),
            Column("recv_ts_ms", _I, _TS, "receipt time on this machine"),
            Column("gap_before", _I, "ids", "unrepaired trade ids missing just before this trade", "first trade of an epoch after the first"),
            Column("id_epoch", _I, "", "how often the exchange has begun its ids anew before this trade"),
            _SUSPECT,
        ),
    ),
    "ofi": Table(
        "ofi", "one row per BUCKET_MS bucket with a contributing book update", ("ts_ms",),
        (
            Column("ts_ms", _I, _TS, "end of the bucket (t-B, t]"),
            _SYMBOL,
            Column("ofi_value", _F, "base asset", "order-flow imbalance; positive when demand grows"),
            Column("ofi_z", _F, "", "z-score against the trailing Z_WIN_SECS, clipped to the winsor limit", _SCALE0),
            Column("scale", _F, "base asset", "standard deviation of the trailing rows, current excluded", _WARM),
            *_LABELS,
        ),
        (
            Column("ofi_l1", _F, "base asset", "unweighted flow of the best level"),
            Column("n_updates", _I, "", "contributing book updates in the bucket"),
            Column("mid", _F, "quote asset", "mid price of the last contributing update", "a side of the book is missing"),
            Column("spread_bps", _F, "1e-4 of mid", "quoted spread of the last contributing update", "a side of the book is missing"),
            Column("ofi_levels", pl.List(pl.Float64()), "base asset", "unweighted flow of each level in effect, best first; a missing level flows 0"),
            Column("queue_imbalance", _F, "", "(b-a)/(b+a) of the best bid and ask quantity: above 0 there is more on the bid", _TOUCH),
            Column("microprice", _F, "quote asset", "(a bid + b ask)/(a+b): leans to the ask when b > a", _TOUCH),
            Column("depth_bid", _F, "base asset", "sum of the bid quantities of the levels in effect, 0 if none"),
            Column("depth_ask", _F, "base asset", "sum of the ask quantities of the levels in effect, 0 if none"),
            _SUSPECT,
        ),
    ),
    "cvd": Table(
        "cvd", "one row per trade", ("agg_trade_id",),
        (
            Column("ts_ms", _I, _TS, "trade time made monotone"),
            _SYMBOL,
            Column("cvd", _F, "base asset", "running sum of delta since the reset"),
            Column("delta", _F, "base asset", "signed quantity: buy +, sell -"),
            Column("z_raw", _F, "", "delta in units of the typical trade size (Z_MODE=level: standard score of cvd)", _MAD),
            Column("z_cvd", _F, "", "z_raw clipped to the winsor limit", _MAD),
            Column("scale", _F, "base asset", "the typical trade size before this trade", _MAD),
            Column("sigma_floor", _F, "base asset", "floor of the scale from the median trade size", _MAD),
            Column("floor_used", _B, "", "the floor decided the scale", _MAD),
            *_LABELS,
        ),
        (
            Column("agg_trade_id", _I, "", "the exchange's id of the (aggregate) trade"),
            Column("cvd_complete", _B, "", "no unrepaired gap since the last reset"),
            Column("id_epoch", _I, "", "how often the exchange has begun its ids anew before this trade"),
            _SUSPECT,
        ),
    ),
    "fusion": Table(
        "fusion", "one row per second with an ofi row", ("ts_ms",),
        (
            Column("ts_ms", _I, _TS, "end of the second (t-1s, t]"),
            _SYMBOL,
            Column("score", _F, "", "W_OFI * ofi_flow_z + W_CVD * cvd_flow_z", "either z is null"),
            Column("score_z", _F, "", "z-score of score by the same rule", _SCALE0),
            *_LABELS,
        ),
        (
            Column("ofi_flow", _F, "base asset", "sum of ofi_value over the second"),
            Column("cvd_flow", _F, "base asset", "sum of delta over the second", "in an unrepaired trade outage"),
            Column("ofi_flow_z", _F, "", "z-score of ofi_flow", _SCALE0),
            Column("cvd_flow_z", _F, "", "z-score of cvd_flow", _SCALE0),
            Column("consistency", _F, "", "2ab/(a^2+b^2) of the two z: 1 agree, 0 unrelated, -1 oppose", "where score is null"),
            Column("mid", _F, "quote asset", "last ofi.mid of the second", "a side of the book is missing"),
            _SUSPECT,
        ),
    ),
    "events": Table(
        "events", "one row per event", ("ts_ms", "event_type", "meta_json"),
        (
            Column("ts_ms", _I, _TS, "the moment the event is known"),
            _SYMBOL,
            Column("event_type", _S, "", "one of " + ", ".join(EVENT_TYPES)),
            Column("meta_json", _S, "", "facts as canonical JSON"),
            *_LABELS,
        ),
        (_SUSPECT,),
    ),
}  # fmt: skip
