"""Each gate passes on a sound dataset and fails on a broken one for its own reason."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import jsonschema
import polars as pl
import pytest

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.publish.parts import folder_of, part_name
from ofi_cvd.quality import merged
from ofi_cvd.quality.report import Report, encode, judge_window, schema
from ofi_cvd.quality.verdicts import Gate
from ofi_cvd.quality.window import Window, scaled
from ofi_cvd.schemas import Kind
from ofi_cvd.settings import Settings
from ofi_cvd.spool.layout import ledger_path, stream_path
from tests.quality.synthetic import START_MS, Fault, Market, Tables, edit, hole, publish, twice, with_fault

MARKET = Market(hours=1, tps=2)
JUDGED = Market(hours=1.25, tps=2)  # with WARM the coverage of more than an hour can be judged
WARM = {"win_secs": 300, "vol_min_secs": 0}
GATES = (
    "empty_minutes", "book_minutes", "slices_complete", "duplicates", "trade_ids", "latency", "signals", "winsor",
    "coverage_scene", "coverage_session",
)  # fmt: skip


def settings(root: Path, symbols: tuple[str, ...] = MARKET.symbols, **more: object) -> Settings:
    paths = {"data_dir": root / "ofi_cvd", "spool_dir": root / "spool", "state_dir": root / "state"}
    return Settings(symbols=symbols, **paths, **more)


def judge(root: Path, market: Market = MARKET, window: Window | None = None, **more: object) -> Report:
    window = window or Window(market.start_ms, market.end_ms, market.symbols)
    report = judge_window(window, settings(root, window.symbols, **more), charts=False)
    jsonschema.validate(json.loads(encode(report.document())), schema("dq"))
    jsonschema.validate(json.loads(encode(report.manifest())), schema("slices_manifest"))
    return report


def failed(report: Report) -> dict[str, Gate]:
    assert tuple(gate.name for gate in report.gates) == GATES
    return {gate.name: gate for gate in report.gates if gate.failed}


def test_a_sound_dataset_passes_every_gate(tmp_path: Path) -> None:
    """Nothing fails, the tag says so, and the counts are those of the market."""
    publish(tmp_path, MARKET)
    report = judge(tmp_path)
    assert failed(report) == {}
    assert (report.run_tag, report.passed, report.scene_coverage_miss) == ("ok", True, 0)
    facts = report.document()["symbols"]["BTCUSDT"]
    assert facts["rows"] == {"prices": 7200, "ofi": 36000, "cvd": 7200, "fusion": 3600, "events": 20}
    assert (facts["minutes"], facts["empty_minutes"], facts["trade_ids_missing"], facts["events"]) == (60, 0, 0, 20)
    assert facts["latency_ms"]["offset"] == 5.0
    assert facts["latency_ms"]["p50_corrected"] == pytest.approx(facts["latency_ms"]["p50"] + 5)
    assert facts["duplicates_received"] == {"in_spool": None, "dropped": 0}
    assert facts["slowest_window"]["slowest_tps"] == 2.0
    manifest = report.manifest()
    assert manifest["hour"] == "20251016_00"
    assert manifest["symbols"]["ETHUSDT"]["scenario_2x2"] == {"A_H": 1800, "A_L": 1800, "Q_H": 1800, "Q_L": 1800}
    assert sum(manifest["symbols"]["ETHUSDT"]["session"]["Tokyo"].values()) == 7200
    assert sum(manifest["symbols"]["ETHUSDT"]["session"]["NY"].values()) == 0


def _late(column: str, value: object, *, after: int = 100) -> pl.Expr:
    """Return `column` overwritten from row `after` on."""
    return pl.when(pl.int_range(pl.len()) >= after).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)


def _no_rows(kind: Kind) -> Fault:
    return lambda found: {**found, kind: found[kind].clear()}


def _without(kind: Kind, from_s: int, to_s: int) -> Fault:
    """Lose a table's rows between two seconds."""
    lost = pl.col("ts_ms").is_between(START_MS + from_s * 1000, START_MS + to_s * 1000, closed="left")
    return lambda found: {**found, kind: found[kind].filter(~lost)}


def _ids_anew(from_s: int) -> Fault:
    """Let the venue begin its ids anew at a second."""
    is_behind = pl.col("ts_ms") >= START_MS + from_s * 1000
    is_first = is_behind & (is_behind.cum_sum() == 1)
    changes = (
        (
            pl.col("agg_trade_id")
            - pl.when(is_behind).then(pl.col("agg_trade_id").filter(is_behind).min() - 7).otherwise(0)
        ),
        pl.when(~is_first).then("gap_before").alias("gap_before"),
        is_behind.cast(pl.Int64).alias("id_epoch"),
    )
    return lambda found: {**found, "prices": found["prices"].with_columns(*changes)}


def _no_quiet_low(found: Tables) -> Tables:
    quiet_low = pl.col("scenario_2x2") == "Q_L"
    change = [pl.when(~quiet_low).then(name).alias(name) for name in ("regime", "vol_bucket", "scenario_2x2")]
    return {**found, "prices": found["prices"].with_columns(change)}


@pytest.mark.parametrize(
    ("fault", "gates", "says"),
    [
        pytest.param(hole(3000, 5, declared=True), {"trade_ids"}, "BTCUSDT 5 in 1 gaps", id="a declared hole"),
        pytest.param(hole(3000, 5), {"trade_ids"}, "BTCUSDT 5 absent and not declared", id="a hole nobody declared"),
        pytest.param(_ids_anew(3000), {"trade_ids"}, "BTCUSDT ids began anew 1 times", id="ids began anew"),
        pytest.param(hole(2400, 360), {"trade_ids", "empty_minutes"}, "BTCUSDT 3 of 60", id="three minutes lost"),
        pytest.param(twice("prices", 0.01), {"duplicates"}, "BTCUSDT prices 72 of 7272 rows", id="trades twice"),
        pytest.param(twice("ofi", 0.01), {"duplicates"}, "BTCUSDT ofi 360", id="buckets twice"),
        pytest.param(edit("ofi", _late("ofi_z", math.nan)), {"winsor"}, "BTCUSDT ofi 35900 rows with NaN", id="NaN in ofi"),
        pytest.param(edit("cvd", _late("scale", math.nan)), {"winsor"}, "BTCUSDT cvd 7100 rows with NaN", id="NaN in cvd"),
        pytest.param(edit("fusion", _late("score", math.inf)), {"winsor"}, "fusion 3500 rows", id="infinity in fusion"),
        pytest.param(edit("cvd", _late("floor_used", None)), {"winsor"}, "7100 rows with nulls", id="nulls after warm-up"),
        pytest.param(edit("prices", _late("latency_ms", 500.0)), {"latency"}, "p50 505.0 ms", id="slow"),
        pytest.param(edit("prices", _late("latency_ms", math.nan)), {"latency", "winsor"}, "p50 nan", id="NaN latency"),
        pytest.param(edit("prices", pl.lit(None, pl.Float64).alias("latency_ms")), {"latency"}, "BTCUSDT none", id="no latency"),
        pytest.param(_no_rows("ofi"), {"book_minutes", "slices_complete"}, "BTCUSDT no book at all", id="no book"),
        pytest.param(_without("ofi", 1200, 1320), {"book_minutes"}, "BTCUSDT 2 of 60", id="two minutes without a book"),
    ],
)  # fmt: skip
def test_a_fault_is_caught_by_its_own_gate(tmp_path: Path, fault: Fault, gates: set[str], says: str) -> None:
    """The gate that should catch a fault fails and says where; the others pass."""
    market = with_fault(MARKET, fault)
    publish(tmp_path, market)
    found = failed(judge(tmp_path, market))
    assert set(found) == gates
    assert says in " ".join(gate.detail for gate in found.values())


@pytest.mark.parametrize(
    ("fault", "gates", "says"),
    [
        pytest.param(_no_quiet_low, {"coverage_scene"}, "BTCUSDT lacks Q_L", id="a scenario is absent"),
        pytest.param(
            edit("prices", pl.lit(None, pl.String).alias("session")), {"coverage_session"}, "BTCUSDT Tokyo 0", id="no sessions"
        ),
    ],
)  # fmt: skip
def test_coverage_is_judged_an_hour_after_warm_up(tmp_path: Path, fault: Fault, gates: set[str], says: str) -> None:
    """What the first hour cannot show yet fails its gate once there is an hour to judge."""
    market = with_fault(JUDGED, fault)
    publish(tmp_path, market)
    first = judge(tmp_path, market)
    assert (failed(first), first.run_tag, first.scene_coverage_miss) == ({}, "ok", 0)
    report = judge(tmp_path, market, **WARM)
    assert set(failed(report)) == gates
    assert says in " ".join(gate.detail for gate in failed(report).values())
    assert (report.run_tag, report.scene_coverage_miss > 0) == ("insufficient_coverage", True)


def test_duplicates_below_the_limit_pass(tmp_path: Path) -> None:
    """0.4 % of rows stored twice is reported and passes."""
    market = with_fault(MARKET, twice("prices", 0.004))
    publish(tmp_path, market)
    report = judge(tmp_path, market)
    assert "duplicates" not in failed(report)
    assert report.document()["symbols"]["BTCUSDT"]["duplicates_stored"]["prices"] == 28


def test_a_limit_that_never_acts_fails_winsor(tmp_path: Path) -> None:
    """Without one clipped row the limit was not seen to work."""
    market = MARKET
    for symbol in market.symbols:
        market = with_fault(market, edit("cvd", pl.col("z_cvd").alias("z_raw")), symbol)
    publish(tmp_path, market)
    found = failed(judge(tmp_path, market))
    assert set(found) == {"winsor"}
    assert "never acted" in found["winsor"].detail


def test_level_mode_may_be_null_in_all_five_columns(tmp_path: Path) -> None:
    """With Z_MODE=level a slow market has no scale; half a row of nulls is an error still."""
    blank = [_late(name, None) for name in ("z_raw", "z_cvd", "scale", "sigma_floor", "floor_used")]
    market = with_fault(MARKET, edit("cvd", *blank))
    publish(tmp_path, market)
    assert set(failed(judge(tmp_path, market))) == {"winsor"}
    assert failed(judge(tmp_path, market, z_mode="level")) == {}
    publish(tmp_path, with_fault(MARKET, edit("cvd", *blank[:-1])))
    assert set(failed(judge(tmp_path, market, z_mode="level"))) == {"winsor"}


def test_latency_is_not_known_without_clock_records(tmp_path: Path) -> None:
    """However good the raw figures are, they may be the clocks' difference."""
    publish(tmp_path, MARKET)
    for path in (tmp_path / "spool").rglob("_ledger.ndjson"):
        path.unlink()
    report = judge(tmp_path)
    assert set(failed(report)) == {"latency"}
    assert "no clock records" in failed(report)["latency"].detail
    assert "as recorded p50 36." in failed(report)["latency"].detail
    assert report.document()["symbols"]["BTCUSDT"]["latency_ms"]["p99_corrected"] is None


@pytest.mark.parametrize(
    ("raw", "offset", "passes"), [(-1500.0, 1540.0, True), (-10.0, 100.0, False), (200.0, -180.0, True)]
)
def test_latency_is_corrected_by_the_clock_offset(tmp_path: Path, raw: float, offset: float, passes: bool) -> None:
    """Offset is the exchange's clock minus ours: a clock that is behind makes latency look small."""
    publish(tmp_path, replace(MARKET, latency_ms=raw, offset_ms=offset))
    assert ("latency" not in failed(judge(tmp_path))) is passes


@pytest.mark.parametrize(("per_hour", "passes"), [(0, False), (2, False), (3, True)])
def test_signals_scale_with_hours_and_symbols(tmp_path: Path, per_hour: int, passes: bool) -> None:
    """1000 per 72 h of six symbols is 4.6 per hour of two."""
    publish(tmp_path, replace(MARKET, events_per_hour=per_hour))
    gate = next(gate for gate in judge(tmp_path).gates if gate.name == "signals")
    assert (gate.threshold, gate.value, gate.passed) == (5, 2 * per_hour, passes)


def test_thresholds_are_never_above_the_specification() -> None:
    """A run of ten days needs no more than 2000 trades in a scenario."""
    days = Window(START_MS, START_MS + 240 * HOUR_MS, ("BTCUSDT",))
    assert days.session_ms("Tokyo=0-8,London=8-16,NY=16-24") == dict.fromkeys(("Tokyo", "London", "NY"), 80 * HOUR_MS)
    full = 72 * HOUR_MS
    assert [scaled(2000, ms, full) for ms in (240 * HOUR_MS, full, HOUR_MS, 1)] == [2000, 2000, 28, 1]


def test_a_missing_slice_is_caught(tmp_path: Path) -> None:
    """A slice the checkpoint does not have is named with its time."""
    publish(tmp_path, replace(MARKET, slice_secs=60))
    path = tmp_path / "state" / "checkpoint.json"
    document = json.loads(path.read_text("utf-8"))
    del document["symbols"]["ETHUSDT"]["hours"][str(START_MS)]["slices"][str(START_MS + 120_000)]
    path.write_text(json.dumps(document), "utf-8")
    found = failed(judge(tmp_path))
    assert set(found) == {"slices_complete"}
    assert "ETHUSDT 2025-10-16T00:02:00Z not published" in found["slices_complete"].detail


def test_a_lost_file_is_caught(tmp_path: Path) -> None:
    """The checkpoint says rows were published that are not there."""
    data = publish(tmp_path, replace(MARKET, slice_secs=300))
    (folder_of(data, "BTCUSDT", "ofi", START_MS) / part_name(START_MS + 600_000)).unlink()
    found = failed(judge(tmp_path))
    assert set(found) == {"slices_complete", "book_minutes"}
    assert "BTCUSDT ofi 2025-10-16T00:10:00Z 0 rows stored of 3000 published" in found["slices_complete"].detail


def test_a_late_file_is_caught(tmp_path: Path) -> None:
    """A file that arrives after its hour became one part brings rows the checkpoint does not know."""
    data = publish(tmp_path, MARKET)
    folder = folder_of(data, "BTCUSDT", "ofi", START_MS)
    rows = pl.read_parquet(folder / part_name(START_MS), hive_partitioning=False).head(50)
    moved = rows.with_columns(ts_ms=pl.col("ts_ms") + 50)
    moved.write_parquet(folder / part_name(START_MS + 60_000), metadata={"slice_secs": "60"})
    found = failed(judge(tmp_path))
    assert set(found) == {"slices_complete"}
    assert "36050 rows stored of 36000 published" in found["slices_complete"].detail


def test_without_a_checkpoint_the_files_are_judged(tmp_path: Path) -> None:
    """Rows outside the slice their file is named for are caught, and the verdict says what it rests on."""
    data = publish(tmp_path, replace(MARKET, slice_secs=300), checkpoint=False)
    report = judge(tmp_path)
    assert failed(report) == {}
    assert "judged by the files alone" in report.gates[2].detail
    folder = folder_of(data, "BTCUSDT", "ofi", START_MS)
    (folder / part_name(START_MS + 600_000)).replace(folder / part_name(START_MS + 3_300_000))
    found = failed(judge(tmp_path))
    assert set(found) == {"slices_complete", "book_minutes"}
    assert "BTCUSDT ofi outside every slice 3000 rows stored of 0 published" in found["slices_complete"].detail


def test_ids_that_were_received_and_not_admitted_are_not_missing(tmp_path: Path) -> None:
    """A row with quantity zero uses up an id; the spool tells it from a lost one."""
    market = with_fault(MARKET, hole(3000, 2))
    publish(tmp_path, market)
    path = stream_path(tmp_path / "spool", START_MS, "BTCUSDT", "aggTrade")
    lines = [{"recv_ns": 1, "conn": "m1", "stream": "btcusdt@aggTrade", "data": {"a": 1000 + i}} for i in (5, 5, 4000)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"torn', "utf-8")
    report = judge(tmp_path, market)
    assert failed(report)["trade_ids"].value == 2
    assert report.document()["symbols"]["BTCUSDT"]["duplicates_received"]["in_spool"] == 1
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write("\n" + "".join(json.dumps(lines[0] | {"data": {"a": 1000 + i}}) + "\n" for i in (3000, 3001)))
    report = judge(tmp_path, market)
    assert failed(report) == {}
    assert "2 were received and not admitted" in report.gates[4].detail


def test_an_empty_window_passes_nothing(tmp_path: Path) -> None:
    """No data is no pass, for any gate."""
    report = judge(tmp_path)
    assert set(failed(report)) == set(GATES)
    assert report.run_tag == "insufficient_coverage+failed_gates"
    assert report.notes()[0] == "The window has no rows at all."
    assert report.scene_coverage_miss == 2 * 4 + 2 * 1


def test_an_absent_symbol_fails_by_name(tmp_path: Path) -> None:
    """The run had two symbols and one was recorded; judged alone, that one is sound."""
    publish(tmp_path, replace(MARKET, symbols=("BTCUSDT",)))
    report = judge(tmp_path)
    assert set(failed(report)) == set(GATES) - {"duplicates", "signals"}
    assert "Without any row: ETHUSDT." in report.notes()
    assert all("ETHUSDT" in gate.detail for gate in failed(report).values())
    assert failed(judge(tmp_path, window=Window(START_MS, MARKET.end_ms, ("BTCUSDT",)))) == {}


def test_the_run_decides_what_should_be_there(tmp_path: Path) -> None:
    """A run of three hours of which one was recorded has 120 empty minutes and slices not published."""
    publish(tmp_path, MARKET)
    report = judge(tmp_path, window=Window(START_MS, START_MS + 3 * HOUR_MS, MARKET.symbols))
    assert {"empty_minutes", "slices_complete"} <= set(failed(report))
    assert "BTCUSDT 120 of 180, first at 2025-10-16T01:00:00Z" in failed(report)["empty_minutes"].detail


def test_a_symbol_that_is_never_quiet_names_the_setting(tmp_path: Path) -> None:
    """The report gives the slowest window and what to set."""
    active = [
        pl.lit("Active").alias("regime"),
        (pl.lit("A_") + pl.col("vol_bucket").str.head(1)).alias("scenario_2x2"),
    ]
    market = with_fault(JUDGED, edit("prices", *active))
    publish(tmp_path, market)
    report = judge(tmp_path, market, **WARM)
    assert set(failed(report)) == {"coverage_scene"}
    assert report.scene_coverage_miss == 2
    detail = failed(report)["coverage_scene"].detail
    assert "2.00 trades/s, above the ACTIVE_TPS of now (2.0); ACTIVE_TPS=BTCUSDT=q0.5 takes the median" in detail


def test_book_breaks_are_counted_from_the_ledger(tmp_path: Path) -> None:
    """A gap of the book's stream is one, a gap of the trades is not."""
    publish(tmp_path, MARKET)
    with ledger_path(tmp_path / "spool", START_MS).open("a", encoding="utf-8", newline="\n") as file:
        for stream in ("depth10@100ms", "aggTrade", "depth10@100ms"):
            row = {"recv_ns": (START_MS + 5) * 1_000_000, "event": "gap", "symbol": "BTCUSDT", "stream": stream}
            file.write(json.dumps(row) + "\n")
    facts = judge(tmp_path).document()["symbols"]
    assert (facts["BTCUSDT"]["book_breaks"], facts["ETHUSDT"]["book_breaks"]) == (2, 0)


def test_session_labels_that_are_switched_off_fail_their_gate(tmp_path: Path) -> None:
    """Coverage of sessions is not known then."""
    off = edit("prices", pl.lit(None, pl.String).alias("session"))
    publish(tmp_path, with_fault(with_fault(JUDGED, off), off, "ETHUSDT"))
    report = judge(tmp_path, JUDGED, write_session_labels=False, **WARM)
    assert set(failed(report)) == {"coverage_session"}
    assert (report.run_tag, report.scene_coverage_miss) == ("insufficient_coverage", 2)


def test_many_slices_are_judged_as_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Merged by the hour into a folder of the moment, the same rows give the same report; the folder is gone after."""
    publish(tmp_path, replace(MARKET, slice_secs=300))
    plain = judge(tmp_path).document()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(merged.few_files.__wrapped__, "__defaults__", (10,))
    assert judge(tmp_path).document() == plain
    assert not list(tmp_path.glob("ofi-dq-*"))
