"""The contract of the tables as docs/specification/tables.md#columns lists it, word for word."""

from __future__ import annotations

import polars as pl
import pytest

from ofi_cvd.schemas import KINDS, LABELS, TABLES, Kind

MARK = "LABELS"
CONTRACT: dict[Kind, str] = {
    "prices": "ts_ms event_ts_ms symbol price qty agg_trade_id latency_ms recv_rate_tps LABELS",
    "ofi": "ts_ms symbol ofi_value ofi_z scale LABELS",
    "cvd": "ts_ms symbol cvd delta z_raw z_cvd scale sigma_floor floor_used LABELS",
    "fusion": "ts_ms symbol score score_z LABELS",
    "events": "ts_ms symbol event_type meta_json LABELS",
}
EXTRAS: dict[Kind, str] = {
    "prices": "side recv_ts_ms gap_before id_epoch suspect",
    "ofi": "ofi_l1 n_updates mid spread_bps ofi_levels queue_imbalance microprice depth_bid depth_ask suspect",
    "cvd": "agg_trade_id cvd_complete id_epoch suspect",
    "fusion": "ofi_flow cvd_flow ofi_flow_z cvd_flow_z consistency mid suspect",
    "events": "suspect",
}
ORDER: dict[Kind, tuple[str, ...]] = {
    "prices": ("agg_trade_id",),
    "ofi": ("ts_ms",),
    "cvd": ("agg_trade_id",),
    "fusion": ("ts_ms",),
    "events": ("ts_ms", "event_type", "meta_json"),
}
INTEGERS = {"ts_ms", "event_ts_ms", "recv_ts_ms", "agg_trade_id", "gap_before", "n_updates", "id_epoch"}
FLAGS = {"floor_used", "suspect", "cvd_complete"}
TEXTS = {"symbol", "side", "event_type", "meta_json", *LABELS}


def words(text: str) -> list[str]:
    return [name for word in text.split() for name in (LABELS if word == MARK else (word,))]


@pytest.mark.parametrize("kind", KINDS)
def test_columns_types_and_order(kind: Kind) -> None:
    """Contract columns first, then extras; ids and times Int64, flags Boolean, labels String, levels a list, else Float64."""
    table = TABLES[kind]
    assert [column.name for column in table.contract] == words(CONTRACT[kind])
    assert [column.name for column in table.extras] == words(EXTRAS[kind])
    assert table.schema.names() == words(CONTRACT[kind] + " " + EXTRAS[kind])
    assert table.order == ORDER[kind]
    for name, dtype in table.schema.items():
        wanted = (
            pl.Int64
            if name in INTEGERS
            else pl.Boolean
            if name in FLAGS
            else pl.String
            if name in TEXTS
            else pl.List(pl.Float64)
            if name == "ofi_levels"
            else pl.Float64
        )
        assert dtype == wanted, name


def test_labels_are_those_of_the_specification() -> None:
    """In this order."""
    assert LABELS == ("session", "regime", "vol_bucket", "scenario_2x2", "fee_tier")
    assert KINDS == ("prices", "ofi", "cvd", "fusion", "events")


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_says_what_it_means(kind: Kind) -> None:
    """The data dictionary is made of it."""
    for column in TABLES[kind].columns:
        assert column.meaning
