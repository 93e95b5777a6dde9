"""The simulated market: what it writes is the wire's shape, coherent, repeatable, and looks like a market."""

import hashlib
import itertools
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ofi_cvd.errors import InputError
from ofi_cvd.simulator import (
    DEFAULT_START_MS,
    INSTRUMENTS,
    STREAMS,
    Market,
    MarketEvent,
    SimulationReport,
    simulate_spool,
)
from ofi_cvd.simulator.engine import Engine
from ofi_cvd.simulator.instruments import instrument_for
from ofi_cvd.simulator.text import decimal_texts, integer_texts

NOON_MS = DEFAULT_START_MS + 12 * 3_600_000
HALF_PAST_MS = DEFAULT_START_MS + 1_800_000
KEYS = {
    "aggTrade": ["e", "E", "s", "a", "p", "q", "nq", "f", "l", "T", "m", "st"],
    "trade": ["e", "E", "T", "s", "t", "p", "q", "X", "m", "st"],
    "bookTicker": ["e", "u", "E", "T", "s", "ps", "b", "B", "a", "A", "st"],
    "depth": ["e", "E", "T", "s", "ps", "st", "U", "u", "pu", "b", "a"],
}
EVENT_NAMES = {"aggTrade": "aggTrade", "trade": "trade", "bookTicker": "bookTicker", "depth": "depthUpdate"}
INTEGERS = {"E", "T", "t", "u", "U", "pu", "f", "l", "st"}

CONTEXT = {"markPrice@1s", "forceOrder"}

Minute = tuple[str, dict[str, list[dict[str, Any]]]]
Recorded = tuple[Path, SimulationReport]
Day = tuple[str, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def listen(symbol: str, *, blocks: int = 30, seed: int = 5, rate: float = 1.0) -> list[MarketEvent]:
    market = Market(symbol, seed, NOON_MS, rate)
    return [event for _ in range(blocks) for event in market.block()]


@pytest.fixture(scope="module", params=[*INSTRUMENTS, "NEWUSDT"])
def minute(request: pytest.FixtureRequest) -> Minute:
    """A minute of every stream of one symbol, parsed."""
    by_stream: dict[str, list[dict[str, Any]]] = {stream: [] for stream in STREAMS if stream not in CONTEXT}
    for event in listen(request.param):
        if event.stream in CONTEXT or event.stream == "depthSnapshot":  # judged in test_depth
            continue
        by_stream[event.stream].append(json.loads(event.payload))
    return request.param, by_stream


def kind(stream: str) -> str:
    return "depth" if stream.startswith("depth") else stream


def test_every_message_has_exactly_the_keys_and_types_of_the_wire(minute: Minute) -> None:
    symbol, streams = minute
    for stream, messages in streams.items():
        assert messages, stream
        for message in messages:
            assert list(message) == KEYS[kind(stream)]
            assert message["e"] == EVENT_NAMES[kind(stream)]
            assert message["s"] == symbol
            assert message["st"] == 1
            assert message.get("ps", symbol) == symbol
            assert {type(message[key]) for key in INTEGERS & message.keys()} == {int}
            assert type(message.get("m", True)) is bool
            assert 0 <= message["E"] - message["T"] < 100


def test_prices_and_quantities_lie_on_the_grid_with_its_decimals(minute: Minute) -> None:
    symbol, streams = minute
    spec = instrument_for(symbol)
    prices: set[str] = set()
    sizes: set[str] = set()
    for trade in streams["aggTrade"]:
        prices.add(trade["p"])
        sizes.update((trade["q"], *([trade["nq"]] if float(trade["nq"]) else [])))
    for frame in streams["depth20@100ms"]:
        for price, size in frame["b"] + frame["a"]:
            prices.add(price)
            sizes.add(size)
    for texts, grid in ((prices, spec.tick), (sizes, spec.lot)):
        for text in texts:
            assert Decimal(text) > 0
            assert Decimal(text) % Decimal(grid) == 0
            assert len(text.partition(".")[2]) == len(grid.partition(".")[2])
            assert text == str(Decimal(text))


def test_ids_of_aggregated_trades_are_contiguous_and_fill_ids_only_jump_forward(minute: Minute) -> None:
    _, streams = minute
    trades = streams["aggTrade"]
    for before, after in itertools.pairwise(trades):
        assert after["a"] == before["a"] + 1
        assert after["f"] > before["l"]
        assert after["T"] >= before["T"]
        assert after["E"] >= before["E"]
    assert all(trade["l"] >= trade["f"] for trade in trades)


def test_fills_and_placeholders_add_up_to_the_aggregated_trades(minute: Minute) -> None:
    _, streams = minute
    fills = {fill["t"]: fill for fill in streams["trade"]}
    ids = sorted(fills)
    assert ids == list(range(ids[0], ids[-1] + 1))
    for trade in streams["aggTrade"]:
        parts = [fills.pop(i) for i in range(trade["f"], trade["l"] + 1)]
        assert sum(Decimal(part["q"]) for part in parts) == Decimal(trade["q"])
        assert {(part["p"], part["m"], part["T"], part["X"]) for part in parts} == {
            (trade["p"], trade["m"], trade["T"], "MARKET")
        }
    assert {(fill["p"], fill["q"], fill["X"]) for fill in fills.values()} <= {("0", "0", "NA")}


def test_placeholders_occur_and_make_the_fill_ids_jump() -> None:
    events = listen("BTCUSDT", blocks=60, rate=10)
    placeholders = sum(event.stream == "trade" and b'"X":"NA"' in event.payload for event in events)
    trades = [json.loads(event.payload) for event in events if event.stream == "aggTrade"]
    jumps = sum(after["f"] != before["l"] + 1 for before, after in itertools.pairwise(trades))
    assert placeholders > 0
    assert 0 < jumps < 0.02 * len(trades)


def test_each_depth_stream_is_a_chain_of_update_ids(minute: Minute) -> None:
    _, streams = minute
    for stream in ("depth5@100ms", "depth10@100ms", "depth20@100ms"):
        for before, after in itertools.pairwise(streams[stream]):
            assert after["pu"] == before["u"]
            assert after["pu"] < after["U"] <= after["u"]


def test_books_are_uncrossed_full_and_strictly_ordered(minute: Minute) -> None:
    _, streams = minute
    for levels in (5, 10, 20):
        for frame in streams[f"depth{levels}@100ms"]:
            bids = [Decimal(price) for price, _ in frame["b"]]
            asks = [Decimal(price) for price, _ in frame["a"]]
            assert len(bids) == len(asks) == levels
            assert all(a < b for a, b in itertools.pairwise([*reversed(bids), *asks]))


def test_the_depth_streams_show_one_book(minute: Minute) -> None:
    _, streams = minute
    for five, ten, twenty in zip(*(streams[f"depth{n}@100ms"] for n in (5, 10, 20)), strict=True):
        assert twenty["b"][:10] == ten["b"]
        assert twenty["a"][:10] == ten["a"]
        assert ten["b"][:5] == five["b"]
        assert five["u"] == ten["u"] == twenty["u"]


def test_a_depth_frame_shows_the_touch_of_the_last_quote_before_it(minute: Minute) -> None:
    _, streams = minute
    quotes = streams["bookTicker"]
    assert all(after["u"] > before["u"] for before, after in itertools.pairwise(quotes))
    assert all(after["T"] >= before["T"] for before, after in itertools.pairwise(quotes))
    times = [quote["T"] for quote in quotes]
    for frame in streams["depth10@100ms"]:
        quote = quotes[int(np.searchsorted(times, frame["T"], side="right")) - 1]
        assert frame["b"][0] == [quote["b"], quote["B"]]
        assert frame["a"][0] == [quote["a"], quote["A"]]
        assert quote["u"] <= frame["u"]


def test_trades_print_at_the_touch_or_through_it(minute: Minute) -> None:
    """A buy pays the best ask of its moment; more only while the ask is on its way up.  Sells mirror it."""
    _, streams = minute
    quotes = streams["bookTicker"]
    times = [quote["T"] for quote in quotes]
    asks, bids = ([Decimal(quote[side]) for quote in quotes] for side in "ab")
    exact = judged = 0
    for trade in streams["aggTrade"]:
        now = int(np.searchsorted(times, trade["T"], side="right")) - 1
        soon = int(np.searchsorted(times, trade["T"] + 100, side="right"))
        if now < 0:
            continue  # before the first quote of the recording
        price = Decimal(trade["p"])
        judged += 1
        if trade["m"]:
            assert min(bids[now : soon + 1]) <= price <= bids[now]
            exact += price == bids[now]
        else:
            assert asks[now] <= price <= max(asks[now : soon + 1])
            exact += price == asks[now]
    assert exact > 0.6 * judged


def test_messages_come_in_the_order_of_their_time_and_only_when_asked_for() -> None:
    market = Market("ETHUSDT", 1, NOON_MS + 37, block_ms=700)
    last_ms = 0
    for number in range(1, 40):
        events = market.block()
        times = [event.time_ms for event in events]
        assert times == sorted(times)
        assert last_ms <= times[0]
        assert market.now_ms == NOON_MS + number * 700
        assert times[-1] < market.now_ms
        assert all(json.loads(event.payload)["E"] == event.time_ms for event in events)
        last_ms = times[-1]


def test_the_iterator_gives_the_blocks_without_seams() -> None:
    blocks = listen("ADAUSDT", blocks=3)
    assert list(itertools.islice(Market("ADAUSDT", 5, NOON_MS), len(blocks))) == blocks


def test_rate_multiplies_trades_and_quotes_and_leaves_depth_frames_alone() -> None:
    slow = Counter(event.stream for event in listen("BTCUSDT"))
    fast = Counter(event.stream for event in listen("BTCUSDT", rate=60))
    assert fast["aggTrade"] > 30 * slow["aggTrade"]
    assert fast["bookTicker"] > 30 * slow["bookTicker"]
    assert fast["depth10@100ms"] <= 600


def test_a_stream_left_out_changes_nothing_in_the_others() -> None:
    everything = [event for event in listen("SOLUSDT", blocks=5) if event.stream == "depth10@100ms"]
    market = Market("SOLUSDT", 5, NOON_MS, streams=["depth10@100ms"])
    assert [event for _ in range(5) for event in market.block()] == everything


@pytest.mark.parametrize(
    "options",
    [{"streams": ["kline_1m"]}, {"rate": 0.0}, {"rate": float("nan")}, {"block_ms": 50}],
)
def test_a_market_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected"):
        Market("BTCUSDT", 1, NOON_MS, **options)


# --- the spool ---------------------------------------------------------------------------------


def digests(spool: Path) -> dict[str, str]:
    return {
        path.relative_to(spool).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(spool.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Forty-eight minutes of two symbols from half past midnight, across the hour, and the report."""
    out = tmp_path_factory.mktemp("spool")
    report = simulate_spool(out, hours=0.8, symbols=["BTCUSDT", "ADAUSDT"], seed=3, start_ms=HALF_PAST_MS, workers=1)
    return out, report


def test_the_same_seed_writes_the_same_bytes_whatever_the_workers(spool: Recorded, tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    simulate_spool(
        tmp_path,
        hours=0.8,
        symbols=["BTCUSDT", "ADAUSDT"],
        seed=3,
        start_ms=HALF_PAST_MS,
        workers=2,
        on_hour=lambda symbol, start_ms: seen.append((symbol, start_ms)),
    )
    assert digests(tmp_path) == digests(spool[0])
    hours = [HALF_PAST_MS, DEFAULT_START_MS + 3_600_000]
    assert sorted(seen) == sorted(itertools.product(["ADAUSDT", "BTCUSDT"], hours))


def test_what_else_is_simulated_changes_no_byte_of_a_symbol(spool: Recorded, tmp_path: Path) -> None:
    streams = ["bookTicker", "aggTrade"]
    simulate_spool(tmp_path, hours=0.8, symbols=["ADAUSDT"], seed=3, start_ms=HALF_PAST_MS, streams=streams, workers=1)
    whole = digests(spool[0])
    again = {name: digest for name, digest in digests(tmp_path).items() if "ADAUSDT.aggTrade" in name}
    assert len(again) == 2
    assert again.items() <= whole.items()


def test_another_seed_writes_another_market(spool: Recorded, tmp_path: Path) -> None:
    simulate_spool(tmp_path, hours=0.1, symbols=["ADAUSDT"], seed=4, workers=1)
    assert not set(digests(tmp_path).values()) & set(digests(spool[0]).values())


def test_files_stand_in_the_hour_of_receipt_and_nothing_else_is_left(spool: Recorded) -> None:
    out, report = spool
    names = ["ADAUSDT.aggTrade", "ADAUSDT.depth10@100ms", "BTCUSDT.aggTrade", "BTCUSDT.depth10@100ms", "_ledger"]
    assert sorted(digests(out)) == [f"date=2026-01-05/hour={h}/{name}.ndjson" for h in ("00", "01") for name in names]
    frames: Counter[str] = Counter()
    size = 0
    for path in out.rglob("*USDT.*.ndjson"):
        symbol, stream = path.name.removesuffix(".ndjson").split(".")
        start_ns = (DEFAULT_START_MS + int(path.parent.name[-2:]) * 3_600_000) * 1_000_000
        last_ns = start_ns - 1
        text = path.read_bytes()
        assert text.endswith(b"\n")
        for raw in text.splitlines():
            line = json.loads(raw)
            assert list(line) == ["recv_ns", "conn", "stream", "data"]
            assert line["stream"] == f"{symbol.lower()}@{stream}"
            assert line["conn"] == ("m1" if stream == "aggTrade" else "p1")
            assert last_ns < line["recv_ns"] < start_ns + 3_600_000_000_000
            last_ns = line["recv_ns"]
        frames[stream] += text.count(b"\n")
        size += len(text)
    assert report.frames == frames
    assert (report.bytes, report.hours) == (size, 2)


def test_state_is_carried_across_the_hour(spool: Recorded) -> None:
    out, _ = spool
    for symbol in ("BTCUSDT", "ADAUSDT"):
        paths = sorted(out.rglob(f"{symbol}.depth10@100ms.ndjson"))
        frames = [json.loads(line)["data"] for path in paths for line in path.read_bytes().splitlines()]
        assert all(after["pu"] == before["u"] for before, after in itertools.pairwise(frames))
        paths = sorted(out.rglob(f"{symbol}.aggTrade.ndjson"))
        ids = [json.loads(line)["data"]["a"] for path in paths for line in path.read_bytes().splitlines()]
        assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_latency_is_that_of_a_network(spool: Recorded) -> None:
    lines = [json.loads(line) for path in spool[0].rglob("BTC*.ndjson") for line in path.read_bytes().splitlines()]
    latency_ms = np.array([line["recv_ns"] / 1e6 - line["data"]["E"] for line in lines])
    assert 8 < np.median(latency_ms) < 25
    assert np.quantile(latency_ms, 0.99) < 60
    assert latency_ms.min() > 0


def test_the_ledger_opens_watches_the_clock_and_closes(spool: Recorded) -> None:
    records = [
        json.loads(line) for path in sorted(spool[0].rglob("_ledger.ndjson")) for line in path.read_bytes().splitlines()
    ]
    assert Counter(record["event"] for record in records) == {"connect": 2, "clock": 48, "shutdown": 1}
    assert [record["event"] for record in records[:2]] == ["connect", "connect"]
    assert {record["conn"] for record in records[:2]} == {"m1", "p1"}
    assert records[-1]["event"] == "shutdown"
    assert all(before["recv_ns"] < after["recv_ns"] for before, after in itertools.pairwise(records))
    assert all({"offset_ms", "rtt_ms"} <= record.keys() for record in records if record["event"] == "clock")


@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_a_spool_that_holds_these_hours_is_refused_before_anything_is_written(tmp_path: Path, suffix: str) -> None:
    held = tmp_path / "date=2026-01-05" / "hour=00" / f"XRPUSDT.aggTrade.ndjson{suffix}"
    held.parent.mkdir(parents=True)
    held.write_bytes(b"precious\n")
    with pytest.raises(InputError, match=r"XRPUSDT\.aggTrade\.ndjson"):
        simulate_spool(tmp_path, hours=2, symbols=["BTCUSDT", "XRPUSDT"], seed=1)
    assert list(digests(tmp_path)) == [f"date=2026-01-05/hour=00/{held.name}"]
    assert held.read_bytes() == b"precious\n"


@pytest.mark.parametrize(
    "options",
    [
        {"hours": 0},
        {"hours": float("inf")},
        {"seed": -1},
        {"symbols": []},
        {"symbols": ["btcusdt"]},
        {"symbols": ["../UP"]},
        {"symbols": ["BTCUSDT", "BTCUSDT"]},
        {"streams": ["depth"]},
        {"start_ms": 17},
    ],
)
def test_a_simulation_that_cannot_be_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected"):
        simulate_spool(tmp_path, **{"hours": 0.01, "symbols": ["BTCUSDT"], "seed": 1, **options})
    assert not digests(tmp_path)


# --- it looks like a market --------------------------------------------------------------------


def touch_flow(price: float, was: float, qty: float, had: float) -> float:
    """One side of an order-flow event, oriented so that a larger price is better (Cont et al. 2014)."""
    if price > was:
        return qty
    return -had if price < was else qty - had


def test_order_flow_explains_the_mid_over_seconds(spool: Recorded) -> None:
    """Half an hour: slope positive and R^2 above 0.4, from the wire text by the paper's formula."""
    for symbol in ("BTCUSDT", "ADAUSDT"):
        lines = (spool[0] / "date=2026-01-05" / "hour=00" / f"{symbol}.depth10@100ms.ndjson").read_bytes().splitlines()
        flow, mid = np.zeros(1801), np.zeros(1801)
        last: list[float] | None = None
        for line in lines:
            data = json.loads(line)["data"]
            second = (data["T"] - HALF_PAST_MS) // 1000 + 1
            book = [float(x) for side in "ba" for x in data[side][0]]
            if last is not None:
                bid = touch_flow(book[0], last[0], book[1], last[1])
                flow[second] += bid - touch_flow(-book[2], -last[2], book[3], last[3])
            mid[second] = (book[0] + book[2]) / 2
            last = book
        assert mid[1:].all()  # a book every second
        correlation = np.corrcoef(flow[2:], np.diff(mid[1:]))[0, 1]
        assert correlation > 0
        assert correlation**2 > 0.4


@pytest.fixture(scope="module", params=list(INSTRUMENTS))
def day(request: pytest.FixtureRequest) -> Day:
    """A day of one symbol's trades: seconds since the start, ticks, signed lots."""
    engine = Engine(request.param, 11, DEFAULT_START_MS)
    trades = [engine.advance(36_000).trades for _ in range(24)]
    time_ms = np.concatenate([t.time_ms for t in trades]) - DEFAULT_START_MS
    signed = np.concatenate([np.where(t.buy, t.lots, -t.lots) for t in trades])
    return request.param, time_ms, np.concatenate([t.tick for t in trades]), signed


def test_trading_runs_at_the_symbols_rate_and_in_clusters(day: Day) -> None:
    symbol, time_ms, _, _ = day
    mean = INSTRUMENTS[symbol].trades_per_s
    assert 0.6 * mean < time_ms.size / 86_400 < 1.6 * mean
    for width_ms in (1_000, 60_000):
        counts = np.bincount(time_ms // width_ms)
        assert counts.var() / counts.mean() > 2  # 1 for a Poisson process


def test_sizes_have_heavy_tails_and_sides_persist(day: Day) -> None:
    _, _, _, signed = day
    sizes = np.abs(signed)
    assert np.quantile(sizes, 0.999) > 40 * np.median(sizes)
    top = np.sort(sizes)[-sizes.size // 100 :]
    assert top.sum() > 0.08 * sizes.sum()
    sides = np.sign(signed)
    assert 0.2 < np.mean(sides[1:] * sides[:-1]) < 0.7


def test_returns_have_heavy_tails_and_volatility_clusters(day: Day) -> None:
    _, time_ms, ticks, _ = day
    prices = ticks[np.maximum(np.searchsorted(time_ms, np.arange(0, 86_400_000, 10_000), side="right") - 1, 0)]
    moves = np.diff(np.log(prices))
    assert np.mean((moves - moves.mean()) ** 4) / moves.var() ** 2 > 4
    assert np.corrcoef(np.abs(moves[1:]), np.abs(moves[:-1]))[0, 1] > 0.1


def test_a_day_visits_every_scenario(day: Day) -> None:
    """Activity and volatility by the labels' rules, on a 1 s grid, with the day's median as the split."""
    _, time_ms, ticks, _ = day
    grid_ms = np.arange(0, 86_400_001, 1_000)
    seen = np.searchsorted(time_ms, grid_ms, side="right")
    active = seen[300:] - seen[:-300] >= 600
    squares = np.cumsum(np.diff(np.log(ticks[np.maximum(seen - 1, 0)]), prepend=0.0)[1:] ** 2)
    variance = squares[300:] - squares[:-300]
    high = variance > np.median(variance)
    second = time_ms // 1000 - 301
    labelled = second[(second >= 0) & (second < variance.size)]
    rows = Counter((2 * active[1:][labelled] + high[labelled]).tolist())
    assert set(rows) == {0, 1, 2, 3}
    assert min(rows.values()) >= 1_000, rows


# --- text --------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=30))
def test_integers_are_written_as_python_writes_them(values: list[int]) -> None:
    texts = [bytes(text).replace(b"\0", b"").decode() for text in integer_texts(np.array(values, dtype=np.int64))]
    assert texts == [str(value) for value in values]


@given(st.lists(st.integers(0, 2**53), min_size=1, max_size=30), st.integers(0, 8))
def test_decimals_are_written_with_all_their_places(values: list[int], decimals: int) -> None:
    texts = decimal_texts(np.array(values, dtype=np.int64), decimals)
    expected = [f"{Decimal(value).scaleb(-decimals):.{decimals}f}" for value in values]
    assert [bytes(text).replace(b"\0", b"").decode() for text in texts] == expected
