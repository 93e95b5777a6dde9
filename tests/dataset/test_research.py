"""The helpers of research against slow loops written from their definitions."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofi_cvd.analysis.source import Source
from ofi_cvd.dataset import bars, footprint, joins
from ofi_cvd.dataset.reader import Dataset
from ofi_cvd.errors import InputError
from tests.analysis import planted

DAY_MS = 86_400_000
MIDNIGHT = 20_000 * DAY_MS
Trade = dict[str, object]

trades_near_midnight = st.lists(
    st.tuples(
        st.integers(MIDNIGHT - 200_000, MIDNIGHT + 200_000),
        st.integers(1, 50),
        st.integers(1, 30),
        st.sampled_from(["buy", "sell"]),
        st.sampled_from(["A", "B"]),
    ),
    min_size=1,
    max_size=60,
)


def frame_of(rows: list[tuple[int, int, int, str, str]]) -> tuple[pl.LazyFrame, list[Trade]]:
    """Return trades as a frame in any order, and as rows in the order of symbol, time and id."""
    ordered = sorted(rows, key=lambda row: (row[4], row[0]))
    found: list[Trade] = [
        {
            "ts_ms": ts, "symbol": symbol, "price": price / 10, "qty": qty / 100, "side": side,
            "suspect": qty % 7 == 0, "agg_trade_id": number,
        }
        for number, (ts, price, qty, side, symbol) in enumerate(ordered)
    ]  # fmt: skip
    return pl.DataFrame(found).lazy(), found


def bar_of(trades: list[Trade], label: int) -> Trade:
    """Return the bar of some trades, by the definition of its columns."""
    prices = [float(str(t["price"])) for t in trades]
    amounts = [Decimal(str(t["qty"])) for t in trades]
    bought = sum((q for q, t in zip(amounts, trades, strict=True) if t["side"] == "buy"), Decimal(0))
    volume = sum(amounts, Decimal(0))
    notional = sum((Decimal(str(t["price"])) * q for q, t in zip(amounts, trades, strict=True)), Decimal(0))
    return {
        "ts_ms": label, "symbol": trades[0]["symbol"], "start_ms": trades[0]["ts_ms"], "open": prices[0],
        "high": max(prices), "low": min(prices), "close": prices[-1], "volume": float(volume),
        "buy_volume": float(bought), "sell_volume": float(volume - bought), "delta": float(2 * bought - volume),
        "notional": float(notional), "vwap": float(notional) / float(volume), "n_trades": len(trades),
        "suspect": any(t["suspect"] for t in trades),
    }  # fmt: skip


def bar_end(ts: int, width: int) -> int:
    """Return the end of the bucket `(t - width, t]`, stepping from the midnight before."""
    end = (ts - 1) // DAY_MS * DAY_MS
    midnight = end + DAY_MS
    while end < ts:
        end += width
    return min(end, midnight)


@settings(deadline=None, max_examples=50)  # the oracles step through a day
@given(trades_near_midnight, st.sampled_from(["7s", "1m", "1700ms", "7h", "1d"]))
def test_time_bars_are_the_buckets_that_end_at_their_label(
    rows: list[tuple[int, int, int, str, str]], size: str
) -> None:
    """Also over midnight, where a size that does not divide a day starts anew."""
    frame, trades = frame_of(rows)
    width = {"7s": 7_000, "1m": 60_000, "1700ms": 1_700, "7h": 25_200_000, "1d": DAY_MS}[size]
    groups: dict[tuple[str, int], list[Trade]] = {}
    for trade in trades:
        groups.setdefault((str(trade["symbol"]), bar_end(int(str(trade["ts_ms"])), width)), []).append(trade)
    expected = [bar_of(group, label) for (_, label), group in groups.items()]
    got = bars.time_bars(frame, size).collect()
    assert got.schema == bars.BARS
    assert got.to_dicts() == pytest.approx(expected) if not expected else got.to_dicts() == expected


@settings(deadline=None, max_examples=50)  # the oracles step through a day
@given(trades_near_midnight, st.sampled_from(["volume", "dollar", "imbalance"]), st.sampled_from([0.05, 0.5, 1, 3.33]))
def test_sampled_bars_close_with_the_trade_that_fills_them(
    rows: list[tuple[int, int, int, str, str]], by: bars.BarKind, size: float
) -> None:
    """The next begins at zero; midnight closes the bar of a day."""
    frame, trades = frame_of(rows)
    expected, group, amount = [], [], Decimal(0)
    for number, trade in enumerate(trades):
        qty = Decimal(str(trade["qty"]))
        step = qty * Decimal(str(trade["price"])) if by == "dollar" else qty
        amount += -step if by == "imbalance" and trade["side"] == "sell" else step
        group.append(trade)
        following = trades[number + 1] if number + 1 < len(trades) else None
        day = (trade["symbol"], int(str(trade["ts_ms"])) // DAY_MS)
        ends_day = following is None or (following["symbol"], int(str(following["ts_ms"])) // DAY_MS) != day
        if abs(amount) >= Decimal(str(size)) or ends_day:
            expected.append(bar_of(group, int(str(trade["ts_ms"]))))
            group, amount = [], Decimal(0)
    assert bars.sampled_bars(frame, size, by).collect().to_dicts() == expected


@settings(deadline=None, max_examples=50)  # the oracles step through a day
@given(trades_near_midnight, st.sampled_from([0.1, 0.25, 1.0]))
def test_a_footprint_shares_volume_out_by_level(rows: list[tuple[int, int, int, str, str]], tick: float) -> None:
    """A level reaches from its price to just below the next."""
    frame, trades = frame_of(rows)
    levels: dict[tuple[str, int, Decimal], list[Decimal]] = {}
    for trade in trades:
        price, step = Decimal(str(trade["price"])), Decimal(str(tick))
        key = (str(trade["symbol"]), bar_end(int(str(trade["ts_ms"])), 60_000), price // step * step)
        cell = levels.setdefault(key, [Decimal(0), Decimal(0), Decimal(0)])
        cell[0 if trade["side"] == "buy" else 1] += Decimal(str(trade["qty"]))
        cell[2] += 1
    expected = [
        {
            "ts_ms": end, "symbol": symbol, "price": float(price), "buy_volume": float(buy),
            "sell_volume": float(sell), "delta": float(buy - sell), "n_trades": int(n),
        }
        for (symbol, end, price), (buy, sell, n) in sorted(levels.items())
    ]  # fmt: skip
    assert footprint.footprint(frame, "1m", tick).collect().to_dicts() == expected


@settings(deadline=None, max_examples=50)  # the oracles step through a day
@given(trades_near_midnight, trades_near_midnight, st.sampled_from([None, 1, 5_000, 60_000]))
def test_asof_takes_the_last_row_that_was_known(
    rows: list[tuple[int, int, int, str, str]], others: list[tuple[int, int, int, str, str]], tolerance: int | None
) -> None:
    """Never a later one, never another symbol's, never one that is too old."""
    (left, wanted), (right, known) = frame_of(rows), frame_of(others)
    got = joins.asof(left.select("ts_ms", "symbol"), right.select("ts_ms", "symbol", "agg_trade_id"), tolerance)
    expected = []
    for row in wanted:
        before = [k for k in known if k["symbol"] == row["symbol"] and int(str(k["ts_ms"])) <= int(str(row["ts_ms"]))]
        best = before[-1] if before else None
        if best and tolerance is not None and int(str(row["ts_ms"])) - int(str(best["ts_ms"])) > tolerance:
            best = None
        expected.append(
            {
                "ts_ms": row["ts_ms"], "symbol": row["symbol"], "agg_trade_id": best and best["agg_trade_id"],
                "ts_ms_right": best and best["ts_ms"],
            }
        )  # fmt: skip
    assert got.collect().to_dicts() == expected


@pytest.fixture(scope="module")
def gapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A market with one hole in it."""
    return planted.write(
        tmp_path_factory.mktemp("gapped"), {"BTCUSDT": planted.tables(1200, gaps=(planted.Gap(500, 520),), books=2)}
    )


@pytest.mark.parametrize("price", ["mid", "trade"])
def test_forward_returns_are_those_of_analyze(gapped: Path, price: str) -> None:
    """Bit for bit, nulls included, on every row."""
    source, horizons = Source(gapped), (1, 5, 60)
    quotes = source.quotes("BTCUSDT", price, 300)
    with Dataset(gapped) as dataset:
        got = dataset.forward_returns([f"{h}s" for h in horizons], price=price).collect()
    times = source.read("BTCUSDT", "fusion", ["ts_ms"])["ts_ms"].to_numpy()
    assert got.height == len(times)
    for horizon in horizons:
        column = got[f"forward_{horizon}s"]
        expected = quotes.forward(times, horizon * 1000)
        assert column.null_count() == int(np.isnan(expected).sum()) > 0
        assert column.fill_null(math.nan).to_numpy().tobytes() == expected.tobytes()


def test_forward_returns_follow_their_definition(sample: Dataset) -> None:
    """A slow search for the first quote after a row and the last within its horizon."""
    books = sample.ofi.filter(pl.col("symbol") == "BNBUSDT").select("ts_ms", "mid").collect().rows()
    rows = sample.forward_returns(["7s"], "events").filter(pl.col("symbol") == "BNBUSDT").collect()
    assert rows.height > 10
    for ts, got in rows.select("ts_ms", "forward_7s").rows():
        within = [math.log(mid) for at, mid in books if ts < at <= ts + 7_000]
        if not within or ts + 7_000 > books[-1][0]:
            assert got is None
        else:
            assert got == pytest.approx(within[-1] - within[0], abs=1e-12)


def test_the_event_table_has_a_price_and_the_facts(sample: Dataset) -> None:
    """Row by row, against the JSON text and a search for the last trade."""
    events, table = sample.events.collect().to_dicts(), sample.event_table().collect().to_dicts()
    trades = {name: [] for name in sample.symbols()}
    for symbol, ts, price in sample.prices.select("symbol", "ts_ms", "price").collect().rows():
        trades[symbol].append((ts, price))
    assert len(events) == len(table) > 20
    for event, row in zip(events, table, strict=True):
        assert {key: value for key, value in row["meta"].items() if value is not None} == json.loads(event["meta_json"])
        assert row["price"] == [price for ts, price in trades[event["symbol"]] if ts <= event["ts_ms"]][-1]
        assert [row[k] for k in ("ts_ms", "symbol", "event_type")] == [
            event[k] for k in ("ts_ms", "symbol", "event_type")
        ]


def test_a_time_column_is_the_same_instant(sample: Dataset) -> None:
    """UTC, to the millisecond."""
    rows = sample.frame("prices", time=True).collect()
    assert rows.columns[0] == "time"
    assert rows["time"].dt.epoch("ms").equals(rows["ts_ms"], check_names=False)
    assert str(rows.schema["time"]) == "Datetime(time_unit='ms', time_zone='UTC')"


@pytest.mark.parametrize(
    ("size", "by"),
    [("soon", "time"), (1.5, "time"), ("2d", "time"), ("1m", "volume"), (0, "volume"), (-1.0, "dollar"), (1, "count")],
)
def test_sizes_that_make_no_bar_are_refused(sample: Dataset, size: float | str, by: bars.BarKind) -> None:
    """The error says what would be accepted."""
    with pytest.raises(InputError, match="expected"):
        sample.bars(size, by=by)


def test_bars_of_no_trades_are_none(sample: Dataset) -> None:
    """An empty window has no bar of any kind."""
    with Dataset(sample.path, start_ms=0, end_ms=1) as empty:
        for size, by in (("1m", "time"), (1, "volume"), (1, "dollar"), (1, "imbalance")):
            got = empty.bars(size, by=by).collect()
            assert (got.height, got.schema) == (0, bars.BARS)
