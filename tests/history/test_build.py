"""What is built from imported rows: the tables of the frames, but for what an archive cannot know; any order, any cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ofi_cvd.errors import UsageError
from ofi_cvd.history.hftbacktest import import_hftbacktest
from ofi_cvd.history.run import import_files
from ofi_cvd.publish.run import build
from ofi_cvd.schemas import Kind
from tests.datasets import frames_of, settings_for
from tests.history.archives import AGG_HEADER, DAY_MS, TICKER_HEADER, TRADES_HEADER, agg_rows, write_zip
from tests.spool_files import write_spool

CAPTURES = Path(__file__).parents[3] / "shared" / "data"
UNKNOWN = ("event_ts_ms", "latency_ms", "recv_ts_ms")  # no archive has a receipt, that of trades no push time
STEM = "BTCUSDT-aggTrades-2024-01-05"
NO_BOOK = {"BOOK_SOURCE": "none"}


def built(root: Path, **params: object) -> dict[Kind, pl.DataFrame]:
    """Build what the spool of `root` holds and return its tables."""
    settings = settings_for(root, NO_BOOK | params)
    build(settings, workers=1)
    return frames_of(settings.data_dir)


def compare(found: dict[Kind, pl.DataFrame], wanted: dict[Kind, pl.DataFrame], *kinds: Kind) -> None:
    for kind in kinds:
        assert not wanted[kind].is_empty()
        unknown = [name for name in UNKNOWN if name in wanted[kind].columns]
        assert_frame_equal(found[kind].drop(unknown), wanted[kind].drop(unknown), check_exact=True)


def agg_frame(row: str, *, conn: str = "m1", behind_ms: int = 5) -> dict[str, object]:
    """Return the frame that a recorder would have of a row of aggTrades, or the answer of REST."""
    ident, price, qty, first, last, at_ms, flag = row.split(",")
    data = {
        "a": int(ident),
        "p": price,
        "q": qty,
        "f": int(first),
        "l": int(last),
        "T": int(at_ms),
        "m": flag == "true",
    }
    if conn != "rest":
        data |= {"e": "aggTrade", "E": int(at_ms) + 1, "s": "BTCUSDT"}
    recv_ns = (int(at_ms) + behind_ms) * 1_000_000
    return {"recv_ns": recv_ns, "conn": conn, "stream": "btcusdt@aggTrade", "data": data}


def test_an_archive_gives_what_the_frames_give(tmp_path: Path) -> None:
    rows = agg_rows(8000)
    write_spool(tmp_path / "frames" / "spool", [agg_frame(row) for row in rows])
    import_files([write_zip(tmp_path, STEM, rows, AGG_HEADER)], tmp_path / "archive" / "spool")
    found, wanted = built(tmp_path / "archive"), built(tmp_path / "frames")
    compare(found, wanted, "prices", "cvd")
    assert found["prices"].select(UNKNOWN).null_count().row(0) == (8000, 8000, 8000)
    assert found["ofi"].is_empty()
    assert found["fusion"].is_empty()
    compare(found, wanted, "events")


def test_hours_are_final_once_the_inputs_cover_their_end(tmp_path: Path) -> None:
    import_files([write_zip(tmp_path, STEM, agg_rows(8000), AGG_HEADER)], tmp_path / "spool")
    settings = settings_for(tmp_path, NO_BOOK)
    build(settings, workers=1)
    hours = json.loads((settings.state_dir / "checkpoint.json").read_text("utf-8"))["symbols"]["BTCUSDT"]["hours"]
    assert [hour["final"] for hour in hours.values()] == [True, True, True]


def test_a_revision_is_rebuilt(tmp_path: Path) -> None:
    rows = agg_rows(5000)
    import_files([write_zip(tmp_path / "a", STEM, rows)], tmp_path / "spool")
    built(tmp_path)
    revised = [row for n, row in enumerate(rows) if n not in {7, 4000}]
    revised[100] = (
        revised[100].replace("43", "44", 1) if ",43" not in revised[100] else revised[100].replace(",43", ",44")
    )
    path = write_zip(tmp_path / "b", STEM, revised)
    import_files([path], tmp_path / "spool")
    import_files([path], tmp_path / "fresh" / "spool")
    found, wanted = built(tmp_path), built(tmp_path / "fresh")
    for kind in ("prices", "cvd", "events"):
        assert_frame_equal(found[kind], wanted[kind], check_exact=True)
    assert len(found["prices"]) == 4998


Step = Callable[[Path], None]


def overlap(tmp_path: Path) -> dict[str, Step]:
    """A recording with a hole, an archive over all of it, and a REST repair of a part of the hole."""
    rows = agg_rows(9000)
    recorded = [agg_frame(row) for row in (*rows[:3000], *rows[4500:])]
    repaired = [agg_frame(row, conn="rest", behind_ms=90_000) for row in rows[3500:4000]]
    gap = {
        "recv_ns": (DAY_MS + 4_500_000) * 10**6, "event": "gap", "symbol": "BTCUSDT", "stream": "aggTrade", "conn": "m1",
        "expected": 3100, "received": 4600, "missing": 1500, "start_ms": DAY_MS + 2_999_005, "end_ms": DAY_MS + 4_500_005,
    }  # fmt: skip
    other = [row.replace(",0.", ",1.") for row in rows[2000:6000]]  # the same ids with other content, from another file
    first = write_zip(tmp_path, STEM, rows, AGG_HEADER)
    second = write_zip(tmp_path, "BTCUSDT-aggTrades-2024-01", other, AGG_HEADER)
    return {
        "record": lambda root: write_spool(root / "spool", recorded, [gap]),
        "repair": lambda root: write_spool(root / "spool", repaired),
        "archive": lambda root: _import(first, root),
        "other": lambda root: _import(second, root),
    }


def _import(path: Path, root: Path) -> None:
    assert import_files([path], root / "spool").faults == []


ORDERS = [
    ("record", "repair", "archive", "other"), ("archive", "record", "other", "repair"),
    ("other", "archive", "repair", "record"), ("repair", "other", "record", "archive"),
]  # fmt: skip


@pytest.mark.parametrize("order", ORDERS[1:], ids="-".join)
@pytest.mark.parametrize("between", [False, True], ids=["at_the_end", "after_each"])
def test_overlap_in_every_order_is_one_build(tmp_path: Path, order: Sequence[str], between: bool) -> None:
    steps = overlap(tmp_path)
    for name in ORDERS[0]:
        steps[name](tmp_path / "wanted")
    for name in order:
        steps[name](tmp_path / "found")
        if between:
            built(tmp_path / "found")
    found, wanted = built(tmp_path / "found"), built(tmp_path / "wanted")
    for kind in ("prices", "cvd", "events"):
        assert_frame_equal(found[kind], wanted[kind], check_exact=True)
    prices = wanted["prices"]
    assert prices["agg_trade_id"].to_list() == list(range(100, 9100)), "the archive fills the hole"
    assert prices["gap_before"].sum() == 0
    assert not prices["suspect"].any()
    received = prices.filter(pl.col("event_ts_ms").is_not_null())
    assert len(received) == 7500, "where a frame was received, it stays before an archive's row"


def test_best_quotes_of_an_archive_give_what_their_frames_give(tmp_path: Path) -> None:
    ticks = [(1000 + n, 99 + n % 3, 1 + n % 5, 102 + n % 2, 2 + n % 4, DAY_MS + n * 40) for n in range(20_000)]
    trades = agg_rows(800)
    frames = [
        {
            "recv_ns": (at + 7) * 10**6, "conn": "p1", "stream": "btcusdt@bookTicker",
            "data": {"e": "bookTicker", "u": u, "E": at + 2, "T": at, "s": "BTCUSDT", "b": f"{b}.0", "B": f"{bq}",
                     "a": f"{a}.0", "A": f"{aq}"},
        }
        for u, b, bq, a, aq, at in ticks
    ]  # fmt: skip
    write_spool(tmp_path / "frames" / "spool", [*frames, *(agg_frame(row) for row in trades)])
    rows = [f"{u},{b}.0,{bq},{a}.0,{aq},{at},{at + 2}" for u, b, bq, a, aq, at in ticks]
    paths = [
        write_zip(tmp_path, "BTCUSDT-bookTicker-2024-01-05", rows, TICKER_HEADER),
        write_zip(tmp_path, STEM, trades, AGG_HEADER),
    ]
    import_files(paths, tmp_path / "archive" / "spool")
    found, wanted = (built(tmp_path / name, BOOK_SOURCE="bookTicker") for name in ("archive", "frames"))
    compare(found, wanted, "ofi", "fusion", "prices", "cvd")


def test_a_hole_between_imported_days_of_books_is_a_break_until_a_later_import_fills_it(tmp_path: Path) -> None:
    def day(number: int) -> Path:
        start_ms = DAY_MS + number * 86_400_000
        rows = [
            f"{10_000 * number + n},99.{n % 10},1,102,2,{start_ms + n * 60_000},{start_ms + n * 60_000}"
            for n in range(1440)
        ]
        return write_zip(tmp_path, f"BTCUSDT-bookTicker-2024-01-0{5 + number}", rows, TICKER_HEADER)

    def ofi(*numbers: int) -> pl.DataFrame:
        root = tmp_path / "-".join(map(str, numbers))
        import_files([day(number) for number in numbers], root / "spool")
        return built(root, BOOK_SOURCE="bookTicker")["ofi"]

    first_ms = DAY_MS + 2 * 86_400_000
    with_hole, filled = ofi(0, 2), ofi(0, 2, 1)
    assert with_hole.filter(pl.col("ts_ms") == first_ms).is_empty(), "no predecessor behind a hole"
    assert with_hole.filter(pl.col("ts_ms") > first_ms)["suspect"][0]
    assert not filled.filter(pl.col("ts_ms") == first_ms).is_empty()
    assert not filled["suspect"].any()
    assert_frame_equal(filled, ofi(1, 0, 2), check_exact=True)


def test_ids_absent_from_a_verified_file_are_no_gaps(tmp_path: Path) -> None:
    rows = [f"{n},100.5,1,100.5,{DAY_MS + n * 500},true" for n in range(1, 400) if n % 97]
    for verified in (True, False):
        root = tmp_path / str(verified)
        import_files(
            [write_zip(root, "BTCUSDT-trades-2024-01-05", rows, TRADES_HEADER, checksum=verified)], root / "spool"
        )
        prices = built(root, TRADE_STREAM="trade")["prices"]
        assert len(prices) == len(rows)
        assert prices["gap_before"].sum() == (0 if verified else 4)


def test_a_build_that_asks_for_other_streams_says_what_to_set(tmp_path: Path) -> None:
    import_files([write_zip(tmp_path, "ETHUSDT-trades-2024-01-05", [f"1,100.5,1,1,{DAY_MS},true"])], tmp_path / "spool")
    settings = settings_for(tmp_path, {})
    with pytest.raises(UsageError) as error:
        build(settings, workers=1)
    assert "found trade of ETHUSDT" in str(error.value)
    assert "`ofi build --symbols ETHUSDT --set TRADE_STREAM=trade --set BOOK_SOURCE=none`" in str(error.value)


def test_a_build_for_another_market_is_refused(tmp_path: Path) -> None:
    import_files([write_zip(tmp_path, STEM, agg_rows(5))], tmp_path / "spool")
    with pytest.raises(UsageError, match="expected data of the market usdm"):
        built(tmp_path, MARKET="spot")


captures = pytest.mark.skipif(not CAPTURES.is_dir(), reason="the captures are not beside the project")


@captures
@pytest.mark.parametrize("stream", ["aggTrade", "trade"])
def test_real_trades_written_out_as_an_archive(tmp_path: Path, stream: str) -> None:
    """Two captured minutes around midnight, as frames and as the archive's days of the same trades."""
    name = "derived/btcusdt_20240718-19.agg+depth10.gz" if stream == "aggTrade" else "raw/btcusdt_2024071{}.gz"
    files = [CAPTURES / name] if stream == "aggTrade" else [CAPTURES / name.format(day) for day in "89"]
    import_hftbacktest(files, tmp_path / "frames" / "spool", streams=[stream], symbols=["BTCUSDT"])
    days = archive_rows(tmp_path / "frames" / "spool", stream)
    kind = {"aggTrade": "aggTrades", "trade": "trades"}[stream]
    paths = [write_zip(tmp_path, f"BTCUSDT-{kind}-{day}", rows) for day, rows in days.items()]
    assert len(paths) == 2
    assert import_files(paths, tmp_path / "archive" / "spool").faults == []
    found, wanted = (built(tmp_path / name, TRADE_STREAM=stream) for name in ("archive", "frames"))
    compare(found, wanted, "prices", "cvd")


def archive_rows(spool: Path, stream: str) -> dict[str, list[str]]:
    """Return the trades of a spool as rows of the venue's archive, by day; placeholders are not in it."""
    days: dict[str, list[str]] = {}
    for path in sorted(spool.rglob(f"*.{stream}.ndjson")):
        for line in path.read_bytes().splitlines():
            data = json.loads(line).get("data")
            if data is None or data.get("X", "MARKET") != "MARKET":
                continue
            ends = [data["a"], data["p"], data["q"], data["f"], data["l"]] if stream == "aggTrade" else [
                data["t"], data["p"], data["q"], 0,
            ]  # fmt: skip
            day = str(pl.Series([data["T"]]).cast(pl.Datetime("ms")).dt.date()[0])
            days.setdefault(day, []).append(",".join(map(str, [*ends, data["T"], str(data["m"]).lower()])))
    return days
