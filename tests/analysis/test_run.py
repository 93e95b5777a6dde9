"""A run from tables to files: complete, the same every time, and wrong requests answered by one sentence."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl
import pytest

from ofi_cvd.analysis.parameters import Parameters, parse_horizons
from ofi_cvd.analysis.run import Result, analyse
from ofi_cvd.cli import main
from ofi_cvd.errors import InputError
from tests.analysis import planted

SMALL = Parameters(horizons_s=(1, 30), signals=("ofi_flow_z", "ofi_z"), impact=True, cost_bps=1.0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    symbols = {
        "BTCUSDT": planted.tables(2400, seed=1, books=2),
        "ETHUSDT": planted.tables(2400, seed=2, symbol="ETHUSDT", books=2),
    }
    return planted.write(folder, symbols)


@pytest.fixture(scope="module")
def result(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return analyse(root, SMALL, tmp_path_factory.mktemp("runs"), workers=1)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_same_inputs_same_bytes_however_many_workers(root: Path, result: Result, tmp_path: Path) -> None:
    """And every step is told once, from processes of their own too."""
    told: list[tuple[int, str]] = []
    again = analyse(root, SMALL, tmp_path, workers=2, progress=lambda total, step: told.append((total, step)))
    steps = [f"{symbol} {what}" for symbol in ("BTCUSDT", "ETHUSDT") for what in ("events", "ofi_flow_z", "ofi_z")]
    assert sorted(told) == [(6, step) for step in steps]
    assert again.folder.name == result.folder.name
    assert content(again.folder) == content(result.folder)


def test_a_run_is_named_by_window_and_parameters(root: Path, result: Result) -> None:
    assert result.folder.name.startswith("20251016T110000Z_20251016T114000Z_")


def test_every_file_is_there_and_says_what_the_tables_say(result: Result) -> None:
    assert set(content(result.folder)) == {
        "metrics.parquet", "metrics.csv", "thresholds.parquet", "quintiles.parquet", "folds.parquet",
        "event_paths.parquet", "event_wins.parquet", "event_wins.csv", "impact.parquet", "impact.csv",
        "impact_half_hours.parquet", "impact_depth.parquet", "report.html", "run.json",
    }  # fmt: skip
    metrics = pl.read_parquet(result.folder / "metrics.parquet")
    assert metrics.height == 2 * 2 * 2 * 12
    assert metrics.select("symbol", "signal", "horizon_s", "slice_kind", "slice").is_unique().all()
    csv = pl.read_csv(result.folder / "metrics.csv", schema_overrides=metrics.schema)
    assert csv.equals(metrics)
    assert b"\r" not in (result.folder / "metrics.csv").read_bytes()


def test_run_json_says_what_was_read_and_how(result: Result) -> None:
    facts = json.loads((result.folder / "run.json").read_text("utf-8"))
    assert facts["parameters"]["horizons_s"] == [1, 30]
    assert facts["parameters"]["symbols"] == ["BTCUSDT", "ETHUSDT"]
    assert len(facts["inputs"]) == 10
    assert facts["symbols"]["BTCUSDT"]["cost_bps"] == 1.0
    assert facts["symbols"]["BTCUSDT"]["signals"]["ofi_z"] == {"every_kth_row": 1, "rows": 4800, "table": "ofi"}
    assert facts["tests"]["metrics"] == result.tables["metrics"]["p_value"].count()


def test_cost_comes_from_the_fee_tier(tmp_path: Path) -> None:
    root = planted.write(tmp_path / "d", {"BTCUSDT": planted.tables(700, books=2, tier="TL")})
    few = Parameters(horizons_s=(1,), signals=("ofi_flow_z",), controls=1)
    facts = analyse(root, few, tmp_path / "runs").facts
    assert json.loads(json.dumps(facts))["symbols"]["BTCUSDT"]["cost_bps"] == 3.4


def test_tables_without_events_or_signals_still_give_a_report(tmp_path: Path) -> None:
    """A young dataset: two minutes, no event, cvd not published at all."""
    frames = planted.tables(120, books=2)
    frames = {"ofi": frames["ofi"], "fusion": frames["fusion"], "prices": frames["prices"]}
    root = planted.write(tmp_path / "d", {"BTCUSDT": frames})
    result = analyse(root, Parameters(impact=True), tmp_path / "runs")
    metrics = result.tables["metrics"]
    assert metrics.height == 6 * 7 * 12
    assert metrics.filter(pl.col("signal") == "z_cvd")["n"].sum() == 0
    assert (result.folder / "report.html").stat().st_size > 500_000  # the library of charts is in it


def test_forecasting_the_trade_price(root: Path, tmp_path: Path) -> None:
    traded = Parameters(horizons_s=(1,), signals=("ofi_flow_z",), price="trade", symbols=("BTCUSDT",))
    row = analyse(root, traded, tmp_path).tables["metrics"].row(0, named=True)
    assert row["ic_lo"] > 0.2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--symbols", "DOGEUSDT"], "expected symbol DOGEUSDT, found only BTCUSDT, ETHUSDT"),
        (["--horizons", "1,zwei"], "--horizons: expected whole seconds such as 1,5,30, found '1,zwei'"),
        (["--horizons", "0"], "--horizons: expected whole seconds from 1 to 86400, found 0"),
        (["--horizons", ""], "--horizons: expected whole seconds from 1 to 86400, found none"),
        (["--signals", "rsi"], "found rsi"),
        (["--price", "last"], "--price: expected mid or trade, found 'last'"),
        (["--start", "yesterday"], "--start: expected a UTC time"),
        (["--start", "2025-10-17", "--end", "2025-10-16"], "expected a start before the end"),
        (["--start", "2030-01-01"], "in the window, found none"),
        (["--folds", "1"], "--folds: expected at least 2, found 1"),
        (["--max-rows", "0"], "--max-rows: expected at least 100, found 0"),
        (["--controls", "0"], "--controls: expected at least 1, found 0"),
        (["--cost-bps", "nan"], "--cost-bps: expected a number of zero or more, found nan"),
        (["--name", "../away"], "--name: expected letters"),
        (["--data-dir", "no/such/folder"], "found no part"),
    ],
)
def test_a_wrong_request_is_answered_by_one_sentence(
    root: Path,
    tmp_path: Path,
    options: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    defaults = [] if "--data-dir" in options else ["--data-dir", str(root)]
    monkeypatch.setattr(sys, "argv", ["ofi", "analyze", *defaults, "--artifacts-dir", str(tmp_path / "art"), *options])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    message = " ".join(capsys.readouterr().err.split())
    assert sentence in message
    assert message.count("ofi:") == 1
    assert not (tmp_path / "art" / "analysis").exists()


def test_the_command_says_where_the_report_is(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data-dir", str(root), "--artifacts-dir", str(tmp_path), "--symbols", "BTCUSDT", "--horizons", "5"]
    monkeypatch.setattr(sys, "argv", ["ofi", "analyze", *options, "--signals", "score", "--name", "mine", "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert Path(said["folder"]) == tmp_path / "analysis" / "mine"
    assert said["rows"]["metrics"] == 12


def test_horizons_are_sorted_and_unique() -> None:
    assert parse_horizons("30, 5,5") == (5, 30)
    with pytest.raises(InputError, match=r"found '1\.5'"):
        parse_horizons("1.5")
