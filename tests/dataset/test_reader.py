"""The dataset as readers meet it: frames, views, pruning, a tolerant ledger."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest

from ofi_cvd import open_dataset
from ofi_cvd.dataset import scan
from ofi_cvd.dataset.reader import Dataset
from ofi_cvd.dataset.times import When
from ofi_cvd.errors import InputError, RunError, UsageError
from ofi_cvd.publish.compact import compact
from ofi_cvd.publish.parts import current_parts, folder_of
from ofi_cvd.schemas import KINDS, TABLES
from tests.quality.synthetic import START_MS, Market, ledger, publish, tables

MARKET = Market(hours=2, tps=1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("it's a dataset")  # a quote in the path is part of the test
    publish(path, MARKET)
    return path


def test_importing_the_package_is_cheap() -> None:
    """`import ofi_cvd` loads neither polars nor duckdb; the reader does."""
    code = "import sys, ofi_cvd; assert not {'polars', 'duckdb'} & set(sys.modules); ofi_cvd.open_dataset"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_and_views_hold_what_was_published(root: Path, kind: str) -> None:
    """Every published row is there, in the contract's columns and order, plus the folder's day."""
    expected = pl.concat([tables(MARKET, symbol)[kind] for symbol in MARKET.symbols])
    with open_dataset(root / "ofi_cvd") as dataset:
        frame = dataset.frame(kind).collect()
        view = dataset.sql(f"SELECT * FROM {kind}")
    assert frame.schema == pl.Schema({**TABLES[kind].schema, "date": pl.Date()})
    assert view.schema == frame.schema
    assert frame.drop("date").equals(expected)
    assert view.sort("symbol", *TABLES[kind].order).equals(frame.sort("symbol", *TABLES[kind].order))


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_without_files_is_empty_and_typed(tmp_path: Path, kind: str) -> None:
    """No file means no rows, never an error or a missing column."""
    with open_dataset(tmp_path / "nowhere", missing_ok=True, spool=tmp_path / "nowhere too") as dataset:
        assert dataset.frame(kind).collect().schema == pl.Schema({**TABLES[kind].schema, "date": pl.Date()})
        assert dataset.sql(f"SELECT * FROM {kind}").schema == dataset.frame(kind).collect_schema()
        assert dataset.sql("SELECT * FROM ledger").height == 0


def test_filters_on_date_and_symbol_skip_files(root: Path) -> None:
    """The plan reads the files of one symbol only."""
    query = "EXPLAIN ANALYZE SELECT sum(price) FROM prices WHERE symbol = 'ETHUSDT' AND date = DATE '2025-10-16'"
    with open_dataset(root / "ofi_cvd") as dataset:
        plan = dataset.connection.execute(query).fetchall()[0][1]
    assert "Scanning Files: 2/4" in plan


def test_values_are_bound(root: Path) -> None:
    """A parameter is a value, whatever it looks like."""
    with open_dataset(root / "ofi_cvd") as dataset:
        got = dataset.sql("SELECT count(*) FROM prices WHERE symbol = $symbol", symbol="' OR 1=1 --")
    assert got.item() == 0


def test_the_ledger_survives_torn_lines(tmp_path: Path) -> None:
    """Half a line, a line that is no object and a fact of a wrong type cost themselves alone."""
    ledger(tmp_path, START_MS, "gap", symbol="BTCUSDT", stream="aggTrade", missing=3, start_ms=1, end_ms=2, extra="x")
    path = next((tmp_path / "spool").rglob("_ledger.ndjson"))
    with path.open("ab") as file:
        file.write(
            b'{"recv_ns":17605\n\n[1]\nnull\n"x"\n{"recv_ns":"late","event":"drop","count":"many"}\n{"recv_ns":1,"ev'
        )
    with open_dataset(tmp_path, missing_ok=True, spool=tmp_path / "spool") as dataset:
        rows = dataset.sql("SELECT * FROM ledger ORDER BY event DESC")
    assert rows["event"].to_list() == ["gap", "drop"]
    gap, drop = rows.to_dicts()
    assert (gap["recv_ns"], gap["missing"], gap["rest"]) == (START_MS * 1_000_000, 3, '{"extra":"x"}')
    assert (drop["recv_ns"], drop["count"]) == (None, None)


def test_a_window_leaves_files_out(root: Path) -> None:
    """Files of hours outside the window are not listed; the hour of an instant is."""
    data = root / "ofi_cvd"
    everything = current_parts(data)
    assert [
        p.start_ms for p in current_parts(data, kinds=("ofi",), symbols={"BTCUSDT"}, start_ms=START_MS + 3_700_000)
    ] == [START_MS + 3_600_000]
    assert current_parts(data, end_ms=START_MS) == []
    assert current_parts(data, start_ms=MARKET.end_ms) == []
    assert current_parts(data, start_ms=START_MS, end_ms=MARKET.end_ms) == everything


def test_a_part_with_a_foreign_name_is_an_error(tmp_path: Path) -> None:
    """A file that no rule places in time is neither read nor ignored."""
    folder = folder_of(tmp_path, "BTCUSDT", "prices", START_MS)
    folder.mkdir(parents=True)
    (folder / "part-0.parquet").touch()
    with pytest.raises(InputError, match=r"part-0\.parquet"):
        current_parts(tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path, name: str) -> None:
    """A mistyped path is an error that names the way out, not an empty answer."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="missing_ok=True"):
        open_dataset(tmp_path / name)


def test_a_window_of_a_dataset_may_be_empty(root: Path) -> None:
    """A dataset without rows in the window is still a dataset."""
    with open_dataset(root / "ofi_cvd", start=0, end=1) as dataset:
        assert dataset.prices.collect().height == 0
        assert dataset.span() is None
        assert "no rows" in repr(dataset)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2025-10-16T00:30", "2025-10-16 01:30"),
        (START_MS + 1_800_000, START_MS + 5_400_000),
        (datetime(2025, 10, 16, 0, 30), datetime(2025, 10, 16, 2, 30, tzinfo=timezone(timedelta(hours=1)))),  # noqa: DTZ001
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_window_returns_exactly_its_rows(root: Path, kind: str, start: When, end: When) -> None:
    """The first instant belongs to it, the last one does not, in frames and in views."""
    rows = pl.concat([tables(MARKET, symbol)[kind] for symbol in MARKET.symbols])
    expected = [t for t in rows["ts_ms"].to_list() if START_MS + 1_800_000 <= t < START_MS + 5_400_000]
    with open_dataset(root / "ofi_cvd", start=start, end=end) as dataset:
        assert dataset.frame(kind).collect()["ts_ms"].to_list() == expected
        assert sorted(dataset.sql(f"SELECT ts_ms FROM {kind}")["ts_ms"].to_list()) == sorted(expected)


@pytest.mark.parametrize(("start", "end"), [("yesterday", None), (None, "soon"), (2.5, None), (5, 5)])
def test_times_that_make_no_window_are_refused(root: Path, start: When, end: When) -> None:
    """The error names the argument."""
    with pytest.raises(UsageError, match=r"start|end"):
        open_dataset(root / "ofi_cvd", start=start, end=end)


def test_it_says_what_is_in_it(root: Path) -> None:
    """Symbols, span and rows are those of the window."""
    with open_dataset(root / "ofi_cvd", symbols=["ETHUSDT"]) as dataset:
        rows = tables(MARKET, "ETHUSDT")
        last = max(rows[kind]["ts_ms"].max() for kind in KINDS)
        first = min(rows[kind]["ts_ms"].min() for kind in KINDS)
        assert (dataset.symbols(), dataset.span()) == (["ETHUSDT"], (first, last + 1))
        assert f"prices {rows['prices'].height:,}" in repr(dataset)
        assert "BTCUSDT" not in repr(dataset)


def test_the_sample_is_whole(sample: Dataset) -> None:
    """It has every table, labels, events, and says what it was built with."""
    assert sample.parameters["BUCKET_MS"] == 1000
    for kind in KINDS:
        assert sample.frame(kind).collect().height > 20
    assert sample.fusion.select(pl.col("scenario_2x2").drop_nulls().n_unique()).collect().item() >= 2
    assert sum(part.size for part in sample.parts()) < 800_000


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_from_before_a_compaction_collects_after_it(tmp_path: Path, kind: str) -> None:
    """The files it knew are gone; the rows are the same."""
    data = publish(tmp_path, Market(hours=2, tps=1, slice_secs=300))
    with open_dataset(data) as dataset:
        frame = dataset.frame(kind)
        before = frame.collect()
        assert compact(data).merged == 10
        assert frame.collect().equals(before)
        assert frame.filter(pl.col("symbol") == "ETHUSDT").select("ts_ms").head(3).collect().height == 3


def test_a_frame_whose_files_vanish_while_it_is_read_reads_the_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compaction between the listing and the read costs one more read, no row."""
    data = publish(tmp_path, Market(symbols=("BTCUSDT",), hours=2, tps=1, slice_secs=300))
    with open_dataset(data) as dataset:
        expected, plain, merged = dataset.prices.collect(), scan.scan_parts, []

        def disturbed(paths: list[Path], schema: pl.Schema) -> pl.LazyFrame:
            if not merged:
                merged.append(compact(data).merged)
            return plain(paths, schema)

        monkeypatch.setattr(scan, "scan_parts", disturbed)
        assert dataset.prices.collect().equals(expected)
        assert merged == [5]


def test_a_frame_whose_files_never_stay_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After many tries the error names the way out."""
    data = publish(tmp_path, Market(symbols=("BTCUSDT",), hours=1, tps=1))
    part = current_parts(data, kinds=("prices",))[0].path
    content = part.read_bytes()

    def vanishing(paths: list[Path], _: pl.Schema) -> pl.LazyFrame:
        part.unlink()
        part.write_bytes(content)  # another file of the same name
        return pl.scan_parquet([paths[0].with_name("gone.parquet")])

    monkeypatch.setattr(scan, "scan_parts", vanishing)
    with open_dataset(data) as dataset, pytest.raises(RunError, match="collect again"):
        dataset.prices.collect()


def test_columns_that_came_later_are_null_in_older_parts(tmp_path: Path) -> None:
    """Frames and views accept parts of an earlier version beside newer ones."""
    data = publish(tmp_path, Market(symbols=("BTCUSDT",), hours=2, tps=1))
    old = current_parts(data, kinds=("ofi",))[0].path
    pl.read_parquet(old, hive_partitioning=False).drop("spread_bps").write_parquet(old)
    with open_dataset(data) as dataset:
        for rows in (dataset.ofi.collect(), dataset.sql("SELECT * FROM ofi ORDER BY ts_ms")):
            assert rows["spread_bps"].null_count() == rows.height // 2
    for part in current_parts(data, kinds=("ofi",)):
        pl.read_parquet(part.path, hive_partitioning=False).drop("spread_bps", strict=False).write_parquet(part.path)
    with open_dataset(data) as dataset:
        for rows in (dataset.ofi.collect(), dataset.sql("SELECT * FROM ofi")):
            assert rows["spread_bps"].null_count() == rows.height > 0


def test_a_file_as_dataset_is_refused(tmp_path: Path) -> None:
    """A path that is a file gets a sentence."""
    (tmp_path / "x").touch()
    with pytest.raises(InputError, match="folder of a dataset"):
        open_dataset(tmp_path / "x")


def test_a_question_is_asked_again_when_its_files_are_replaced(tmp_path: Path) -> None:
    """An answer from files that changed meanwhile is thrown away; one that always changes is an error."""
    data = publish(tmp_path, Market(symbols=("BTCUSDT",), hours=1, tps=1))
    part = current_parts(data, kinds=("prices",))[0].path
    frame = pl.read_parquet(part, hive_partitioning=False)
    asked: list[int] = []

    def ask(connection: object, *, disturb: int) -> int:
        asked.append(1)
        if len(asked) <= disturb:
            frame.head(len(asked)).write_parquet(part.with_suffix(".new"))
            part.with_suffix(".new").replace(part)
        return len(asked)

    with open_dataset(data) as dataset:
        assert dataset.read(lambda connection: ask(connection, disturb=3)) == 4
        with pytest.raises(RunError, match="replaced"):
            dataset.read(lambda connection: ask(connection, disturb=10**9))


def test_new_files_do_not_disturb_a_question(tmp_path: Path) -> None:
    """A slice that is published meanwhile belongs to the next question."""
    data = publish(tmp_path, Market(symbols=("BTCUSDT",), hours=1, tps=1))
    asked: list[int] = []

    def ask(_: object) -> None:
        asked.append(1)
        publish(tmp_path, Market(symbols=("ETHUSDT",), hours=1, tps=1))

    with open_dataset(data) as dataset:
        dataset.read(ask)
    assert len(asked) == 1
