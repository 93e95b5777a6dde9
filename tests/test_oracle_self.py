"""The oracle against figures worked out by hand: a yardstick has to be measured first."""

from __future__ import annotations

import ast
import math
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings

from tests import oracles
from tests.oracles import Outage, Params, oracle_dataset, parse_params
from tests.oracles.labels import Second
from tests.scenario_files import assert_rows, read_scenario, scenario_folders
from tests.spool_files import read_lines, write_spool
from tests.strategies import SYMBOL, Market, markets

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_captures = pytest.mark.skipif(not DATA.exists(), reason="the captures of real markets are not here")


@pytest.mark.parametrize("folder", scenario_folders(), ids=lambda path: path.name)
def test_scenario(folder: Path) -> None:
    """The oracle gives what each scenario's tables say, and every row of them."""
    scenario = read_scenario(folder)
    tables = oracle_dataset(scenario.frames, scenario.ledger, scenario.params)
    assert scenario.expected
    for kind, rows in scenario.expected.items():
        assert_rows(tables[kind], rows)


def test_the_oracle_stands_alone() -> None:
    """Nothing but the standard library and itself: two readings that share code are one."""
    allowed = {
        *("__future__", "bisect", "collections", "dataclasses", "fractions", "functools", "gzip", "itertools"),
        *("json", "math", "pathlib", "re", "statistics", "types", "typing"),
    }
    for path in Path(str(oracles.__file__)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name.partition(".")[0] for alias in node.names} <= allowed, path.name
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                assert str(node.module).partition(".")[0] in allowed, path.name


def test_a_bucket_is_named_by_its_end() -> None:
    """An instant on the edge belongs to the bucket that ends there."""
    assert [oracles.ceil_to(x, 100) for x in (0, 1, 100, 101)] == [0, 100, 100, 200]


@pytest.mark.parametrize(
    ("before", "now", "flow"),
    [
        ((10, 5), (11, 2), 2),  # the price rose: the new queue arrived
        ((10, 5), (9, 2), -5),  # it fell: the old queue went
        ((10, 5), (10, 2), -3),  # unchanged: the difference
        (None, (10, 2), 0),
        ((10, 5), None, 0),
    ],
)
def test_flow_of_one_level(before: tuple[int, int] | None, now: tuple[int, int] | None, flow: int) -> None:
    """The three cases of the event definition, and a level that is missing."""
    assert oracles.ofi_flow(_level(before), _level(now)) == flow


def test_weights_follow_the_depth_of_the_source() -> None:
    """A source with fewer levels gets all of the weight; more levels are not used."""
    best_only = parse_params({"BOOK_STREAMS": "bookTicker"})
    three = parse_params({"LEVELS": 3, "LEVEL_WEIGHTS": "0.4,0.25,0.2"})
    assert oracles.level_weights(best_only) == [1]
    assert oracles.level_weights(three) == [Fraction(8, 17), Fraction(5, 17), Fraction(4, 17)]
    assert sum(oracles.level_weights(Params())) == 1


def test_z_excludes_the_row_itself() -> None:
    """Of 1, 2, 3 the mean is 2 and the deviation 1, so 4 stands at 2, and no further than the limit."""
    assert _z([1, 2, 3, 4])[-1] == oracles.Standing(z=2.0, scale=1.0)
    assert _z([1, 2, 3, 4], limit=1.5)[-1] == oracles.Standing(z=1.5, scale=1.0)
    assert _z([1, 2, 3])[-1] == oracles.Standing(z=None, scale=None)  # two rows before it


def test_z_window_begins_at_its_left_edge() -> None:
    """The window is `[t - win, t)`: the row exactly `win` ago is in, the one before it is out."""
    found = oracles.trailing_z([0, 1000, 2000, 4000], [9, 1, 3, 4], win_secs=3, min_rows=2, min_secs=0, limit=8)
    assert found[-1].scale == pytest.approx(math.sqrt(2), rel=1e-15)
    assert found[-1].z == pytest.approx(math.sqrt(2), rel=1e-15)


def test_z_of_equal_values_is_unknown_and_its_scale_is_zero() -> None:
    """The scale is exactly 0, also of values that no float holds exactly."""
    assert _z([0.1, 0.1, 0.1, 0.3])[-1] == oracles.Standing(z=None, scale=0.0)


def test_z_skips_nulls_and_waits_for_age() -> None:
    """A null is no row, and the 60 s count from the first row that is not null."""
    times = [0, 1000, 2000, 3000, 4000]
    found = oracles.trailing_z(times, [None, 1, None, 3, 5], win_secs=9, min_rows=2, min_secs=3, limit=8)
    assert [each.scale is None for each in found] == [True, True, True, True, False]


def test_quantile_interpolates() -> None:
    """Halfway between two middle values; exactly a value where the position is whole."""
    assert oracles.quantile([1.0, 2.0, 4.0, 8.0], Fraction(1, 2)) == 3.0
    assert oracles.quantile([1.0, 2.0, 4.0], Fraction(1, 2)) == 2.0
    assert oracles.quantile([5.0], Fraction(9, 10)) == 5.0


def test_consistency() -> None:
    """1 they agree, -1 they oppose, 0 unrelated or both still, null if one is unknown."""
    assert oracles.consistency(2.0, 2.0) == 1
    assert oracles.consistency(2.0, -2.0) == -1
    assert oracles.consistency(3.0, 1.0) == pytest.approx(0.6)
    assert oracles.consistency(0.0, 0.0) == 0
    assert oracles.consistency(None, 1.0) is None


def test_going_size_forgets_by_half_lives() -> None:
    """After one half-life a trade of 3 weighs half of a trade of 1: (1 + 3/2) / (1 + 1/2)."""
    mean = oracles.DecayedMean(half_life_sec=2.0)
    mean.add(10_000, 3.0)
    mean.add(12_000, 1.0)
    assert mean.mean == pytest.approx(5 / 3)


def test_level_mode_measures_the_sum_itself() -> None:
    """Sums 1, 2, 3, 4: the last stands (4 - 2)/1 above the three before it, and no floor is used."""
    frames = [_trade(i, 1_000 * i) for i in range(1, 5)]
    rows = oracle_dataset(frames, params={"Z_MODE": "level", "Z_MIN_ROWS": 3})["cvd"]
    assert [row["z_raw"] for row in rows] == [None, None, None, 2.0]
    assert (rows[3]["scale"], rows[3]["sigma_floor"], rows[3]["floor_used"]) == (1.0, 0.0, False)


def test_sums_are_exact() -> None:
    """Ten times 0.1 is 1, and taking it away again leaves exactly 0."""
    frames = [_trade(i, 1_000 * i, qty="0.1", sell=i > 10) for i in range(1, 21)]
    sums = [row["cvd"] for row in oracle_dataset(frames)["cvd"]]
    assert (sums[9], sums[19]) == (1.0, 0.0)


def test_regime_against_a_rate_and_against_its_own_past() -> None:
    """A rate counts ties as Active; a quantile asks for more than usual."""
    seconds = [Second(t=1_000 * i, price=1.0, ret_units=0, count=n, squares=0) for i, n in enumerate((4, 2, 3, 9))]
    settings_of = Params(win_secs=2)
    assert oracles.regime_labels(seconds, "1.5", settings_of) == ["Active", "Quiet", "Active", "Active"]
    assert oracles.regime_labels(seconds, "q0.5", settings_of) == ["Quiet", "Quiet", "Quiet", "Active"]


def test_high_is_above_the_quantile_of_the_lookback() -> None:
    """Ties are Low, and what is older than the lookback no longer counts."""
    seconds = [Second(t=1_000 * i, price=1.0, ret_units=0, count=0, squares=s) for i, s in enumerate((9, 9, 4, 4, 5))]
    found = oracles.vol_labels(seconds, Params(win_secs=0, vol_min_secs=0, vol_lookback_secs=3))
    assert found == ["Low", "Low", "Low", "Low", "High"]


def test_a_plateau_turns_at_its_first_second() -> None:
    """Strict before, weak after: of equal prices the first one is the pivot."""
    seconds = [Second(t=i, price=p, ret_units=0, count=0, squares=None) for i, p in enumerate((1, 2, 2, 1, 1))]
    found = oracles.pivots(seconds, 1, beats=lambda p, q: p > q)
    assert [(pivot.ts_ms, pivot.confirmed_ms) for pivot in found] == [(1, 2)]


def test_onset_counts_from_the_last_that_fired() -> None:
    """A rule met every second fires every QUIET_SECS, not once for ever."""
    met = [(1_000 * i, i) for i in range(8)]
    assert [i for _, i in oracles.onsets(met, Params(quiet_secs=3))] == [0, 3, 6]


def test_an_outage_is_judged_by_its_ids_or_by_the_holes_around_it() -> None:
    """Ids that were all seen close it; without ids, only a hole at that time keeps it open."""
    frames = oracles.trade_frames([_trade(i, 1_000 * i) for i in (1, 2, 5)], "aggTrade")
    seen, holes = [1, 2, 5], oracles.id_holes([1, 2, 5], oracles.canonical_trades(frames))
    unrepaired = {
        bounds: oracles.is_unrepaired(Outage(*bounds), seen, holes)
        for bounds in [(0, 9, 1, 3), (0, 9, 2, 5), (0, 9, 3, 3), (3000, 4000, None, None), (0, 1999, None, None)]
    }
    assert list(unrepaired.values()) == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("changed", "ids"),
    [
        ({"q": "0.00100000000"}, [1, 2, 3]),
        ({"q": "1e-3"}, [1, 3]),
        ({"q": "0.000000001"}, [1, 3]),
        ({"q": "-1"}, [1, 3]),
        ({"q": "Infinity"}, [1, 3]),
        ({"q": 1.5}, [1, 3]),
        ({"p": None}, [1, 3]),
        ({"T": "2000"}, [1, 3]),
        ({"m": 1}, [1, 3]),
    ],
)
def test_malformed_rows_are_as_if_not_there(changed: dict[str, object], ids: list[int]) -> None:
    """Their ids were not seen; a well-formed row that is not admitted was."""
    frames = [_trade(i, 1_000 * i) for i in (1, 2, 3)]
    data = frames[1]["data"]
    assert isinstance(data, dict)
    frames[1]["data"] = data | changed
    rows = oracle_dataset(frames)["prices"]
    assert [row["agg_trade_id"] for row in rows] == ids
    well_formed = changed["q"] == "-1" if "q" in changed else False
    assert rows[-1]["gap_before"] == (0 if well_formed or len(ids) == 3 else 1)


def test_an_unknown_setting_is_an_error() -> None:
    """A typo in a test would otherwise compare two defaults."""
    with pytest.raises(KeyError, match="WINSECS"):
        oracle_dataset([], params={"WINSECS": 5})


def test_no_frames_no_rows() -> None:
    """An empty spool is an empty dataset."""
    assert oracle_dataset([]) == {"prices": [], "ofi": [], "cvd": [], "fusion": [], "events": []}


@settings(max_examples=25, deadline=None)
@given(markets(max_size=40))
def test_the_order_of_lines_does_not_matter(market: Market) -> None:
    """Files are read in any order."""
    found = oracle_dataset(market.frames[::-1], market.ledger[::-1], market.params)
    assert found == oracle_dataset(market.frames, market.ledger, market.params)


@settings(max_examples=25, deadline=None)
@given(markets(max_size=40, faults=False, venues=("usdm",)))
def test_nothing_looks_ahead(market: Market) -> None:
    """What happens later changes no row that was known before."""
    early = market.frames[: len(market.frames) // 2]
    cut = max((_clock(frame) for frame in early), default=0)
    early = [frame for frame in market.frames if _clock(frame) <= cut]
    before, after = (oracle_dataset(frames, (), market.params) for frames in (early, market.frames))
    for kind, rows in after.items():
        assert [row for row in before[kind] if _ts(row) <= cut] == [row for row in rows if _ts(row) <= cut]


@settings(max_examples=10, deadline=None)
@given(markets(max_size=20))
def test_a_spool_on_disk_says_the_same(tmp_path_factory: pytest.TempPathFactory, market: Market) -> None:
    """Frames and ledger come back from the files they were written to."""
    root = tmp_path_factory.mktemp("spool")
    write_spool(root, market.frames, market.ledger)
    paths = sorted(root.rglob("*.ndjson"))
    frames = [line for path in paths if path.name != "_ledger.ndjson" for line in read_lines(path)]
    ledger = [line for path in paths if path.name == "_ledger.ndjson" for line in read_lines(path)]
    assert sorted(map(str, frames)) == sorted(map(str, market.frames))
    assert sorted(map(str, ledger)) == sorted(map(str, market.ledger))


def test_spool_files_are_named_by_stream_and_hour(tmp_path: Path) -> None:
    """A frame lies in the hour of its receipt, a repaired trade in the hour of the trade."""
    hour = 3_600_000
    late = _trade(1, hour - 1, recv_ms=hour)
    repaired = _trade(2, hour - 1, recv_ms=2 * hour) | {"conn": "rest"}
    write_spool(tmp_path, [late, repaired], [{"recv_ns": hour * 1_000_000, "event": "connect"}])
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.ndjson"))
    assert found == [
        f"date=1970-01-01/hour=00/{SYMBOL}.aggTrade.repair.ndjson",
        f"date=1970-01-01/hour=01/{SYMBOL}.aggTrade.ndjson",
        "date=1970-01-01/hour=01/_ledger.ndjson",
    ]


@needs_captures
def test_a_real_market() -> None:
    """Eight minutes across midnight: no id is missing, the chain holds, the sum starts again, events fire."""
    path = DATA / "derived" / "btcusdt_20240718-19.agg+depth10.gz"
    tables = oracle_dataset(oracles.read_capture(path, SYMBOL))
    assert not any(row["suspect"] for rows in tables.values() for row in rows)
    assert {row["session"] for row in tables["prices"]} == {"NY", "Tokyo"}
    first = next(row for row in tables["cvd"] if row["session"] == "Tokyo")
    assert (first["cvd"], first["cvd_complete"]) == (first["delta"], True)
    assert {row["event_type"] for row in tables["events"]} >= {"pivot_high", "pivot_low", "anomaly_ofi"}


def _level(pair: tuple[int, int] | None) -> tuple[Fraction, Fraction] | None:
    return None if pair is None else (Fraction(pair[0]), Fraction(pair[1]))


def _z(values: list[float], limit: float = 8) -> list[oracles.Standing]:
    times = [1_000 * i for i in range(len(values))]
    return oracles.trailing_z(times, values, win_secs=300, min_rows=3, min_secs=0, limit=limit)


def _trade(
    trade_id: int, trade_ms: int, *, qty: str = "1", sell: bool = False, recv_ms: int | None = None
) -> dict[str, object]:
    data = {"E": trade_ms, "a": trade_id, "p": "100", "q": qty, "T": trade_ms, "m": sell}
    recv_ns = (trade_ms if recv_ms is None else recv_ms) * 1_000_000
    return {"recv_ns": recv_ns, "conn": "m1", "stream": f"{SYMBOL.lower()}@aggTrade", "data": data}


def _clock(frame: dict[str, object]) -> int:
    data = SimpleNamespace(**frame["data"])  # type: ignore[arg-type]
    return int(data.T)


def _ts(row: oracles.Row) -> int:
    return int(str(row["ts_ms"]))
