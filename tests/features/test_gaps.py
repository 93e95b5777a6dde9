"""Which gaps of the ledger count as outages, and which rows they make suspect.

See docs/specification/trades.md, docs/specification/tables.md#suspect.
"""

from __future__ import annotations

import polars as pl
import pytest

from ofi_cvd.features.gaps import IdGap, LedgerGap, Span, ledger_gaps, unrepaired, with_suspect

GAP = {"event": "gap", "symbol": "BTCUSDT", "stream": "btcusdt@trade", "start_ms": 10, "end_ms": 20}


def test_gaps_are_those_of_one_stream_of_one_symbol_each_once() -> None:
    """Short and long names of the stream; what is no gap, or says no times, is none."""
    records = [
        {**GAP, "start_ms": 30, "end_ms": 40, "expected": 5, "received": 8},
        GAP,
        {**GAP, "stream": "trade"},
        {**GAP, "symbol": "ETHUSDT"},
        {**GAP, "stream": "btcusdt@aggTrade"},
        {**GAP, "event": "disconnect"},
        {**GAP, "end_ms": None},
        {**GAP, "end_ms": True},
        {**GAP, "start_ms": 21},
        {"event": "gap"},
    ]
    assert ledger_gaps(records, "BTCUSDT", "trade") == [LedgerGap(10, 20), LedgerGap(30, 40, 5, 8)]


HOLE = IdGap(first=5, last=7, before_ms=100, after_ms=200)


@pytest.mark.parametrize(
    ("gap", "is_open"),
    [
        (LedgerGap(0, 9, 5, 8), True),
        (LedgerGap(0, 9, 7, 8), True),
        (LedgerGap(0, 9, 8, 9), False),  # behind the hole
        (LedgerGap(0, 9, 3, 5), False),  # before it
        (LedgerGap(0, 9, 3, 6), True),
        (LedgerGap(0, 9, 6, 6), False),  # nothing was missed
        (LedgerGap(0, 9, 0, 2), True),  # before the first id ever seen
        (LedgerGap(0, 9, 40, 60), True),  # beyond the last
        (LedgerGap(100, 120), True),  # without ids: the hole's neighbours reach into it
        (LedgerGap(0, 99), False),
        (LedgerGap(0, 100), True),
        (LedgerGap(201, 300), False),
        (LedgerGap(150, 160, None, 8), True),
    ],
)
def test_a_gap_is_open_where_ids_are_missing(gap: LedgerGap, is_open: bool) -> None:
    """Ids seen are 1 to 50 but for 5 to 7."""
    assert unrepaired([gap], [HOLE], 1, 50) == ([gap.span] if is_open else [])


def test_two_records_of_one_time_are_one_outage() -> None:
    """Told by two connections."""
    gaps = [LedgerGap(0, 9, 5, 8), LedgerGap(0, 9, 4, 8)]
    assert unrepaired(gaps, [HOLE], 1, 50) == [Span(0, 9)]


def test_rows_are_suspect_for_a_window_after_an_end() -> None:
    """`(t - WIN_SECS, t]`: from the end on, and no longer than the window; none without breaks."""
    table = pl.LazyFrame({"ts_ms": [999, 1_000, 2_999, 3_000, 5_000, 6_000]})
    breaks = pl.LazyFrame({"end_ms": [5_500, 1_000, 1_000]}, schema={"end_ms": pl.Int64})
    found = with_suspect(table, breaks, 2).collect()["suspect"].to_list()
    assert found == [False, True, True, False, False, True]
    none = with_suspect(table, pl.LazyFrame(schema={"end_ms": pl.Int64}), 2).collect()["suspect"].to_list()
    assert none == [False] * 6
