"""Files of the venue's archive become segments, whatever the quirk; a bad file leaves nothing that counts."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from ofi_cvd.history.importing import InputReport
from ofi_cvd.history.run import History, import_files
from ofi_cvd.spool.ledger import read_ledger
from ofi_cvd.spool.segments import inputs_in_force, list_segments
from tests.history.archives import (
    AGG_HEADER,
    DAY_MS,
    TICKER_HEADER,
    TRADES_HEADER,
    agg_rows,
    write_csv,
    write_members,
    write_zip,
)

STEM = "BTCUSDT-aggTrades-2024-01-05"


def bring(spool: Path, *paths: Path, symbol: str | None = None) -> History:
    return import_files(paths, spool, symbol=symbol)


def only(history: History) -> InputReport:
    assert history.faults == []
    assert len(history.inputs) == 1
    return history.inputs[0]


def rows_of(spool: Path) -> pl.DataFrame:
    """Return the rows of every segment that counts, by hour and id."""
    segments = list_segments(spool, inputs_in_force(read_ledger(spool)))
    return pl.concat([segment.read() for segment in segments])


def test_a_day_becomes_hours_of_exact_rows(tmp_path: Path) -> None:
    report = only(bring(tmp_path / "spool", write_zip(tmp_path, STEM, agg_rows(7300), AGG_HEADER)))
    assert (report.rows, report.hours, report.missing, report.repeated) == (7300, 3, 0, 0)
    assert (report.start_ms, report.end_ms) == (DAY_MS, DAY_MS + 86_400_000)
    assert report.is_verified
    frame = rows_of(tmp_path / "spool")
    assert frame["trade_id"].to_list() == list(range(100, 7400))
    assert frame["file_row"].to_list() == list(range(7300))
    assert frame.row(1, named=True) == {
        "recv_ns": None, "trade_id": 101, "traded_ms": DAY_MS + 1000, "pushed_ms": None,
        "price": Decimal("43001.11000000"), "qty": Decimal("0.00200000"), "buyer_is_maker": True, "trade_kind": None,
        "file_row": 1,
    }  # fmt: skip
    names = sorted(path.name for path in (tmp_path / "spool").rglob("*.parquet"))
    assert names == [f"BTCUSDT.aggTrade.binance-archive-{report.sha256[:12]}.parquet"] * 3
    assert (tmp_path / "spool" / "_spool.json").read_text("utf-8") == '{"market":"usdm"}\n'


@pytest.mark.parametrize("header", [None, AGG_HEADER])
@pytest.mark.parametrize("zipped", [True, False])
def test_header_or_none_zip_or_csv(tmp_path: Path, header: str | None, zipped: bool) -> None:
    rows = agg_rows(50)
    path = write_zip(tmp_path, STEM, rows, header) if zipped else write_csv(tmp_path / f"{STEM}.csv", rows, header)
    assert only(bring(tmp_path / "spool", path)).rows == 50


def test_microseconds_and_capital_flags_of_spot(tmp_path: Path) -> None:
    rows = [f"{n},100.5,1.5,1,2,{(DAY_MS + n) * 1000 + 999},{'True' if n % 2 else 'False'},True" for n in range(9)]
    report = only(bring(tmp_path / "spool", write_zip(tmp_path, STEM, rows)))
    frame = rows_of(tmp_path / "spool")
    assert frame["traded_ms"].to_list() == [DAY_MS + n for n in range(9)]
    assert frame["buyer_is_maker"].to_list() == [n % 2 == 1 for n in range(9)]
    assert report.stream == "aggTrade"
    assert (tmp_path / "spool" / "_spool.json").read_text("utf-8") == '{"market":"spot"}\n'


def test_a_spool_is_of_one_market(tmp_path: Path) -> None:
    bring(tmp_path / "spool", write_zip(tmp_path, STEM, agg_rows(3)))
    spot = write_zip(tmp_path, "ETHUSDT-trades-2024-01-05", [f"1,100.5,1.5,2,{DAY_MS},true,true"])
    history = bring(tmp_path / "spool", spot)
    assert "expected data of the market usdm" in history.faults[0]
    assert "found spot" in history.faults[0]


def test_rows_out_of_order_and_interleaved_id_streams(tmp_path: Path) -> None:
    early, late = agg_rows(4000), agg_rows(4000, first_id=4100, start_ms=DAY_MS + 4_000_000)
    mixed = [row for pair in zip(late, reversed(early), strict=True) for row in pair]
    report = only(bring(tmp_path / "spool", write_zip(tmp_path, STEM, mixed, AGG_HEADER)))
    assert (report.rows, report.missing) == (8000, 0)
    assert rows_of(tmp_path / "spool")["trade_id"].to_list() == list(range(100, 8100))


def test_hours_that_come_back_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for few rows, hours are put aside again and again and still become one segment each."""
    monkeypatch.setattr("ofi_cvd.spool.segment_writer.WAITING_ROWS", 100)
    monkeypatch.setattr("ofi_cvd.history.inputs.CHUNK_BYTES", 4096)
    rows = agg_rows(8000)
    mixed = [row for n in range(4000) for row in (rows[n], rows[n + 4000])]
    report = only(bring(tmp_path / "spool", write_csv(tmp_path / f"{STEM}.csv", mixed)))
    assert (report.rows, report.hours, report.missing, report.repeated) == (8000, 3, 0, 0)
    assert rows_of(tmp_path / "spool")["trade_id"].to_list() == list(range(100, 8100))


def test_zero_quantities_stay_and_repeated_ids_are_counted(tmp_path: Path) -> None:
    rows = agg_rows(10)
    rows[3] = f"103,43003.1,0,30,33,{DAY_MS + 3000},true"
    rows.append(f"104,1.5,9.9,30,33,{DAY_MS + 4000},true")  # the id of another row with other content
    del rows[5]
    report = only(bring(tmp_path / "spool", write_zip(tmp_path, STEM, rows)))
    assert (report.rows, report.repeated, report.missing) == (10, 1, 1)
    frame = rows_of(tmp_path / "spool")
    assert frame.filter(pl.col("trade_id") == 103)["qty"].to_list() == [Decimal(0)]
    assert frame.filter(pl.col("trade_id") == 104)["file_row"].to_list() == [4, 9]


def test_lines_that_are_no_rows_are_counted_by_reason(tmp_path: Path) -> None:
    rows = agg_rows(20)
    rows[1] = "garbage"
    rows[2] = f"102,abc,1,1,1,{DAY_MS},true"
    rows[3] = f"103,1.123456789,1,1,1,{DAY_MS},true"  # more than eight decimals would have to be rounded
    rows[4] = "104,1.5,1,1,1,1500000000,true"
    rows[5] = f"105,1.5,1,1,1,{DAY_MS + 9 * 86_400_000},true"
    report = only(bring(tmp_path / "spool", write_zip(tmp_path, STEM, rows)))
    assert report.rows == 15
    assert report.refused == {"malformed": 3, "implausible_time": 1, "other_period": 1}


def test_best_quotes(tmp_path: Path) -> None:
    rows = [f"{900 + n},99.5,{n}.25,100.5,3,{DAY_MS + n},{DAY_MS + n + 4}" for n in range(5)]
    report = only(bring(tmp_path / "spool", write_zip(tmp_path, "BTCUSDT-bookTicker-2024-01-05", rows, TICKER_HEADER)))
    assert (report.stream, report.rows) == ("bookTicker", 5)
    row = rows_of(tmp_path / "spool").row(2, named=True)
    assert (row["update_id"], row["traded_ms"], row["pushed_ms"]) == (902, DAY_MS + 2, DAY_MS + 6)
    assert (row["bid_px_1"], row["bid_qty_1"], row["ask_px_1"], row["ask_qty_1"]) == (
        Decimal("99.5"), Decimal("2.25"), Decimal("100.5"), Decimal(3),
    )  # fmt: skip
    assert (row["bid_depth"], row["ask_depth"], row["previous_id"]) == (1, 1, None)
    # The rows end long before the day does, and nothing proves that no update is missing.
    assert (report.start_ms, report.end_ms) == (DAY_MS, DAY_MS + 5)


@pytest.mark.parametrize("verified", [True, False])
def test_ids_absent_from_a_verified_file_of_fills_count_as_seen(tmp_path: Path, verified: bool) -> None:
    rows = [f"{n},100.5,1,100.5,{DAY_MS + n * 600_000},true" for n in range(1, 20) if n not in {4, 5, 13}]
    path = write_zip(tmp_path, "BTCUSDT-trades-2024-01-05", rows, TRADES_HEADER, checksum=verified)
    report = only(bring(tmp_path / "spool", path))
    assert (report.rows, report.absent, report.missing) == ((16, 3, 0) if verified else (16, 0, 3))
    frame = rows_of(tmp_path / "spool")
    absent = frame.filter(pl.col("trade_kind") == "ABSENT")
    assert absent["trade_id"].to_list() == ([4, 5, 13] if verified else [])
    events = [record["event"] for record in read_ledger(tmp_path / "spool")]
    assert events == (["absent", "imported"] if verified else ["imported"])


def test_repeating_adds_nothing(tmp_path: Path) -> None:
    path = write_zip(tmp_path, STEM, agg_rows(30))
    bring(tmp_path / "spool", path)
    before = {one: one.stat().st_mtime_ns for one in (tmp_path / "spool").rglob("*.parquet")}
    report = only(bring(tmp_path / "spool", path))
    assert report.is_known
    assert {one: one.stat().st_mtime_ns for one in (tmp_path / "spool").rglob("*.parquet")} == before
    assert len(read_ledger(tmp_path / "spool")) == 1


def test_a_revision_supersedes_and_says_what_changed(tmp_path: Path) -> None:
    rows = agg_rows(30)
    first = write_zip(tmp_path / "a", STEM, rows)
    old = only(bring(tmp_path / "spool", first))
    rows[7] = f"107,1.5,9,1,1,{DAY_MS + 7000},true"
    revised = write_zip(tmp_path / "b", STEM, [*rows[1:], *agg_rows(2, first_id=130, start_ms=DAY_MS + 30_000)])
    report = only(bring(tmp_path / "spool", revised))
    assert report.supersedes == [old.sha256]
    assert report.changes is not None
    assert (report.changes.added, report.changes.removed, report.changes.changed) == (2, 1, 1)
    assert len(list((tmp_path / "spool").rglob("*.parquet"))) == 2, "nothing is deleted"
    assert len(rows_of(tmp_path / "spool")) == 31
    assert only(bring(tmp_path / "spool", first)).superseded_by == report.sha256


def damaged(tmp_path: Path) -> Path:
    path = write_zip(tmp_path, STEM, agg_rows(5000), checksum=False)
    path.write_bytes(path.read_bytes()[:-3000])
    return path


def broken_inside(tmp_path: Path) -> Path:
    path = write_zip(tmp_path, STEM, agg_rows(5000), checksum=False)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(data)
    return path


def wrong_checksum(tmp_path: Path) -> Path:
    path = write_zip(tmp_path, STEM, agg_rows(50))
    write_zip(tmp_path, STEM, agg_rows(51), checksum=False)
    return path


def encrypted(tmp_path: Path) -> Path:
    path = write_zip(tmp_path, STEM, agg_rows(5), checksum=False)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    data[6] |= 1
    data[start + 8] |= 1
    path.write_bytes(data)
    return path


def header_alone(tmp_path: Path) -> Path:
    return write_zip(tmp_path, STEM, [], AGG_HEADER)


def nothing_at_all(tmp_path: Path) -> Path:
    return write_csv(tmp_path / f"{STEM}.csv", [])


def two_members(tmp_path: Path) -> Path:
    return write_members(tmp_path / f"{STEM}.zip", [(f"{STEM}.csv", b"1"), ("more.csv", b"2")])


def bomb(tmp_path: Path) -> Path:
    return write_members(tmp_path / f"{STEM}.zip", [(f"{STEM}.csv", b"0" * (65 * 1024 * 1024))])


def other_csv(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "BTCUSDT-klines.csv", ["1704412800000,43000,43010,42990,43005,12.5"] * 5)


def name_contradicts(tmp_path: Path) -> Path:
    return write_zip(tmp_path, "BTCUSDT-trades-2024-01-05", agg_rows(5))


def other_symbol_inside(tmp_path: Path) -> Path:
    member = ("ETHUSDT-aggTrades-2024-01-05.csv", "\n".join(agg_rows(5)).encode())
    return write_members(tmp_path / f"{STEM}.zip", [member])


def other_day_inside(tmp_path: Path) -> Path:
    return write_zip(tmp_path, STEM, agg_rows(5, start_ms=DAY_MS + 40 * 86_400_000))


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (damaged, "damaged or truncated"), (broken_inside, "damaged or truncated"), (wrong_checksum, "found "),
        (encrypted, "found an encrypted one"), (header_alone, "only a header"), (nothing_at_all, "found an empty file"),
        (two_members, "found 2 ("), (bomb, "decompression bomb"), (other_csv, "found '1704412800000,43000"),
        (name_contradicts, "found rows of aggTrades"), (other_symbol_inside, "found 'ETHUSDT-aggTrades"),
        (other_day_inside, "5 other_period"),
    ],
)  # fmt: skip
def test_a_bad_file_leaves_nothing_that_counts(tmp_path: Path, make: Callable[[Path], Path], found: str) -> None:
    path = make(tmp_path)
    good = write_zip(tmp_path, "ETHUSDT-aggTrades-2024-01-05", agg_rows(5))
    history = bring(tmp_path / "spool", path, good)
    assert len(history.faults) == 1
    assert path.name in history.faults[0]
    assert "expected" in history.faults[0]
    assert found in history.faults[0]
    assert [report.symbol for report in history.inputs] == ["ETHUSDT"], "the other files are imported all the same"
    assert {one.name.split(".")[0] for one in (tmp_path / "spool").rglob("*.parquet")} == {"ETHUSDT"}
    assert list((tmp_path / "spool").glob(".import-*")) == []


def test_a_bomb_that_lies_about_its_size_is_stopped(tmp_path: Path) -> None:
    """The directory of the zip claims few bytes: what is read beyond them is never trusted."""
    path = bomb(tmp_path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    data[22:26] = data[start + 24 : start + 28] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    history = bring(tmp_path / "spool", path)
    assert history.inputs == []
    assert len(history.faults) == 1


def test_a_killed_import_is_completed_by_repeating_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path, STEM, agg_rows(9000))
    with monkeypatch.context() as patched:

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patched.setattr("ofi_cvd.history.importing.Ledger.record", killed)
        with pytest.raises(KeyboardInterrupt):
            bring(tmp_path / "spool", path)
    assert list_segments(tmp_path / "spool", inputs_in_force(read_ledger(tmp_path / "spool"))) == []
    assert only(bring(tmp_path / "spool", path)).rows == 9000
    assert len(rows_of(tmp_path / "spool")) == 9000


def test_the_symbol_of_a_file_without_a_telling_name(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "mine.csv", agg_rows(5))
    assert "give --symbol" in bring(tmp_path / "spool", path).faults[0]
    report = only(bring(tmp_path / "spool", path, symbol="BTCUSDT"))
    assert (report.start_ms, report.end_ms) == (DAY_MS, DAY_MS + 4001), "no name says that more is covered"
