"""What the page is told, against slow loops over the tables; counts are bounded, not times."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from ofi_cvd.dataset.reader import Dataset
from ofi_cvd.view.grid import LEVELS_MS, WIDTHS_MS, bar_width, level_for, line_width
from ofi_cvd.view.overview import next_event, next_gap, overview
from ofi_cvd.view.screen import MAX_TRADES, screen
from ofi_cvd.view.summaries import Summaries
from tests.view.conftest import GAP, QUIET, SECONDS, at

Rows = list[dict[str, object]]
PIXELS = 1200
SPANS = [(0, SECONDS), (900, 1500), (3500, 3700), (3590, 3610), (0, 40_000)]


@pytest.fixture
def summaries(root: Path) -> Summaries:
    return Summaries(root)


@pytest.fixture(scope="module")
def tables(root: Path) -> dict[str, Rows]:
    """Every row of BTCUSDT, by table, in time order."""
    with Dataset(root, symbols=["BTCUSDT"]) as dataset:
        kinds = ("prices", "cvd", "ofi", "fusion", "events")
        return {kind: dataset.frame(kind).sort("ts_ms", maintain_order=True).collect().to_dicts() for kind in kinds}


def same(found: object, wanted: object) -> bool:
    if isinstance(found, float) and isinstance(wanted, float):
        return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-9)
    return found == wanted


def of(rows: Rows, column: str) -> list[object]:
    return [row[column] for row in rows if row[column] is not None]


def expected(tables: dict[str, Rows], t: int, width: int) -> dict[str, object]:
    """Return what the bucket `(t - width, t]` says, from the rows."""
    own = {kind: [row for row in rows if t - width < int(str(row["ts_ms"])) <= t] for kind, rows in tables.items()}
    last = lambda kind, column: (of(own[kind], column) or [None])[-1]  # noqa: E731
    z = [float(str(value)) for value in of(own["fusion"], "score_z")]
    qty = [float(str(row["qty"])) for row in own["prices"]]
    bought = [float(str(row["qty"])) for row in own["prices"] if row["side"] == "buy"]
    return {
        "close": last("prices", "price"), "mid": last("ofi", "mid"), "cvd": last("cvd", "cvd"),
        "ofi": sum(float(str(v)) for v in of(own["ofi"], "ofi_value")) if own["ofi"] else None,
        "score": last("fusion", "score"), "score_z": last("fusion", "score_z"),
        "score_z_low": min(z, default=None), "score_z_high": max(z, default=None), "n_trades": len(own["prices"]),
        "spread_bps": last("ofi", "spread_bps"), "volume": sum(qty) if qty else None,
        "buy_volume": sum(bought) if qty else None,
    }  # fmt: skip


@pytest.mark.parametrize(("first", "last"), SPANS)
def test_every_point_is_what_its_rows_say(summaries: Summaries, tables: dict[str, Rows], first: int, last: int) -> None:
    """At every zoom, also over the edge of an hour."""
    got = screen(summaries, "BTCUSDT", at(first), at(last), PIXELS, 300)
    lines, width = got["lines"], got["width_ms"]
    assert isinstance(lines, dict)
    picked = random.Random(first).sample(range(len(lines["t"])), min(60, len(lines["t"])))
    hour = [i for i, t in enumerate(lines["t"]) if abs(t - at(3600)) <= width]
    for i in picked + hour:
        wanted = expected(tables, lines["t"][i], width)
        assert {name: lines[name][i] for name in wanted if not same(lines[name][i], wanted[name])} == {}, lines["t"][i]


@pytest.mark.parametrize(("first", "last"), SPANS)
def test_bars_are_open_high_low_and_close(summaries: Summaries, tables: dict[str, Rows], first: int, last: int) -> None:
    """Each from the trades of its bucket."""
    got = screen(summaries, "BTCUSDT", at(first), at(last), PIXELS, 300)
    bars, width = got["bars"], got["bar_ms"]
    for i in random.Random(last).sample(range(len(bars["t"])), min(20, len(bars["t"]))):
        end = bars["t"][i]
        prices = [row["price"] for row in tables["prices"] if end - width < row["ts_ms"] <= end]
        assert [bars[name][i] for name in ("open", "high", "low", "close")] == [
            prices[0], max(prices), min(prices), prices[-1],
        ]  # fmt: skip


@pytest.mark.parametrize("pixels", [16, 320, 1280, 3840])
@pytest.mark.parametrize("seconds", [2, 60, 600, SECONDS, 86_400, 86_400 * 365])
def test_a_screen_costs_what_its_pixels_cost(summaries: Summaries, seconds: int, pixels: int) -> None:
    """No line has more points than pixels, nothing else more than a few a pixel."""
    got = screen(summaries, "BTCUSDT", at(0), at(seconds), pixels, 300)
    assert len(got["lines"]["t"]) <= pixels + 1
    assert len(got["bars"]["t"]) <= max(pixels, 60)
    assert len(got["events"]) <= 4 * pixels
    assert got["trades"] is None or len(got["trades"]["ts_ms"]) <= min(MAX_TRADES, 3 * pixels)


def test_widths_divide_a_day_and_are_made_of_levels() -> None:
    """So every bucket starts anew at midnight, and a remembered level makes it."""
    for width in WIDTHS_MS:
        assert 86_400_000 % width == 0
        level = level_for(width)
        assert (level is None) == (width < LEVELS_MS[0])
        assert level is None or width % level == 0
    for span in (1, 999, 60_000, 10**9, 10**13):
        assert line_width(span, 1000) in WIDTHS_MS
        assert bar_width(span, 1000) >= 1000


def test_a_planted_gap_is_hatched_and_a_quiet_minute_is_not(summaries: Summaries, tables: dict[str, Rows]) -> None:
    """Exactly from the last row before to the first after it, of trades and of books."""
    got = screen(summaries, "BTCUSDT", at(0), at(SECONDS), PIXELS, 300)
    (gap,) = got["breaks"]
    times = [[row["ts_ms"] for row in tables[kind]] for kind in ("prices", "ofi")]
    assert gap["start_ms"] == min(max(t for t in own if t <= at(GAP.first)) for own in times)
    assert gap["end_ms"] == max(min(t for t in own if t > at(GAP.last)) for own in times)
    assert not any(gap["start_ms"] < at(QUIET.last) and gap["end_ms"] > at(QUIET.first) for gap in got["breaks"])
    (suspect,) = got["suspect"]
    width = got["width_ms"]
    assert at(GAP.last) - width <= suspect["start_ms"] <= at(GAP.last) + width
    assert abs(suspect["end_ms"] - at(GAP.last + 300)) <= 2 * width


def test_where_there_is_no_data_is_hatched_too(summaries: Summaries) -> None:
    """Before the first row and after the last."""
    got = screen(summaries, "BTCUSDT", at(-3600), at(SECONDS + 3600), PIXELS, 300)
    reasons = [gap["reason"] for gap in got["breaks"]]
    assert (reasons[0], reasons[-1], len(reasons)) == ("before the first row", "after the last row", 3)


def test_single_trades_are_those_of_the_table(summaries: Summaries, tables: dict[str, Rows]) -> None:
    """When they are few enough, every one with its id, price, quantity and side."""
    got = screen(summaries, "BTCUSDT", at(100), at(400), PIXELS, 300)["trades"]
    wanted = [row for row in tables["prices"] if at(100) <= row["ts_ms"] < at(400)]
    assert len(wanted) > 500
    for name in ("ts_ms", "price", "qty", "side", "agg_trade_id"):
        assert got[name] == of(wanted, name)


def test_a_footprint_holds_the_volume_of_its_bars(summaries: Summaries, tables: dict[str, Rows]) -> None:
    """When trades are too many to show one by one."""
    got = screen(summaries, "BTCUSDT", at(0), at(1800), 400, 300)
    cells = got["footprint"]
    assert got["trades"] is None
    end = cells["ts_ms"][0]
    own = [row for row in tables["prices"] if end - cells["bar_ms"] < row["ts_ms"] <= end]
    total = sum(
        cells["buy_volume"][i] + cells["sell_volume"][i] for i in range(len(cells["price"])) if cells["ts_ms"][i] == end
    )
    assert total == pytest.approx(sum(row["qty"] for row in own))


def test_events_keep_their_meta(summaries: Summaries, tables: dict[str, Rows]) -> None:
    """All of them when they are few; thinned ones say how many they stand for."""
    few = screen(summaries, "BTCUSDT", at(0), at(600), PIXELS, 300)["events"]
    wanted = [row for row in tables["events"] if row["ts_ms"] < at(600)]
    assert [(one["ts_ms"], one["event_type"], one["meta_json"], one["n"]) for one in few] == [
        (row["ts_ms"], row["event_type"], row["meta_json"], 1) for row in wanted
    ]
    many = screen(summaries, "BTCUSDT", at(0), at(SECONDS), 16, 300)["events"]
    assert sum(one["n"] for one in many) == len(tables["events"]) > len(many)


def test_the_next_event_and_gap_are_found_in_both_directions(summaries: Summaries, tables: dict[str, Rows]) -> None:
    """From any instant; none is an answer."""
    times = [row["ts_ms"] for row in tables["events"]]
    for second in (0, 700, 2000):
        after = next_event(summaries, "BTCUSDT", at(second), back=False)
        before = next_event(summaries, "BTCUSDT", at(second), back=True)
        assert (after and after["ts_ms"]) == min((t for t in times if t > at(second)), default=None)
        assert (before and before["ts_ms"]) == max((t for t in times if t < at(second)), default=None)
    found = [next_gap(summaries, "BTCUSDT", at(s), back=back) for s, back in ((0, False), (2000, True), (2000, False))]
    assert [gap and at(GAP.first) - 5000 < gap["start_ms"] <= at(GAP.first) for gap in found] == [True, True, None]


def test_the_overview_shows_the_whole_dataset(summaries: Summaries, tables: dict[str, Rows]) -> None:
    """At most a thousand points, real mids, and the gap."""
    got = overview(summaries, "BTCUSDT")
    mids = {row["ts_ms"]: row["mid"] for row in tables["fusion"]}
    assert 100 < len(got["t"]) <= 1001
    assert [mids[t] for t in got["t"]] == got["price"]
    assert [gap["end_ms"] - gap["start_ms"] >= 200_000 for gap in got["breaks"]] == [True]


def test_an_hour_that_grows_is_read_again(root: Path, tmp_path: Path) -> None:
    """New rows are on the next screen, without a new start."""
    import shutil  # noqa: PLC0415

    parts = sorted(path for path in root.rglob("*.parquet") if "BTCUSDT" in str(path))
    early, late = (
        [path for path in parts if "T110000Z" in path.name],
        [path for path in parts if "T120000Z" in path.name],
    )
    assert len(early) == len(late) == 5
    for number, group in enumerate((early, late)):
        for path in group:
            target = tmp_path / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        if number == 0:
            growing = Summaries(tmp_path)
            before = growing.version("BTCUSDT")
            assert max(screen(growing, "BTCUSDT", at(0), at(SECONDS), PIXELS, 300)["lines"]["t"]) <= at(3600)
    assert growing.version("BTCUSDT") != before
    assert max(screen(growing, "BTCUSDT", at(0), at(SECONDS), PIXELS, 300)["lines"]["t"]) >= at(SECONDS)
