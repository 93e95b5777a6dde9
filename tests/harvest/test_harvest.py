"""A whole run against the built-in exchange, with kills, and everything it leaves: recounted from the spool alone."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from statistics import median

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.harvest import TARGETS, Bench, batch_frames, differing, exchange, frames, kill_at_random
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.harvest.run import Run, load
from ofi_cvd.monitor.metrics import METRICS
from ofi_cvd.quality.report import schema
from ofi_cvd.schemas import KINDS
from ofi_cvd.spool.layout import list_files
from ofi_cvd.spool.ledger import read_ledger
from ofi_cvd.spool.reader import read_lines
from tests.datasets import assert_same_tables, tables_of
from tests.oracles import oracle_dataset, quantile

SYMBOLS = ("BTCUSDT", "XRPUSDT")
SLICE_S = 5
RUN_S = 30
SHORT = {
    "WIN_SECS": "5", "VOL_MIN_SECS": "5", "VOL_LOOKBACK_SECS": "20", "Z_WIN_SECS": "10", "Z_MIN_SECS": "3", "Z_MIN_ROWS": "5",
    "PIVOT_SPAN_SECS": "2", "DIV_MAX_SECS": "20", "QUIET_SECS": "2", "ACTIVE_TPS": "q0.5", "MAD_MIN_TRADES": "20",
}  # fmt: skip
FAST = SHORT | {"PARQUET_ROTATE_SEC": str(SLICE_S), "GRACE_SECS": "1", "SEAL_AFTER_SECS": "0"}
SCENES = ("A_H", "A_L", "Q_H", "Q_L")
LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) [a-z_]+(\.[a-z_]+)+( \w+=(\"(\\.|[^\"\\])*\"|\S+))*"
)


@dataclass
class Done:
    """A run that is over.

    Attributes:
        oracle: the five tables of each symbol, by the slow loops, from the spool alone.
        scraped: `/metrics` of the running harvest.
    """

    bench: Bench
    run: Run
    summary: dict
    oracle: dict[str, dict]
    scraped: str
    refused: subprocess.CompletedProcess[str]

    def rows(self, symbol: str, kind: str) -> list[dict]:
        return [row for row in self.oracle[symbol][kind] if self.run.start_ms <= row["ts_ms"] < self.run.end_ms]

    def gate(self, name: str) -> dict:
        return next(gate for gate in self.summary["gates"] if gate["name"] == name)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("harvest")
    with exchange(",".join(SYMBOLS), 2, 7) as url:
        bench = Bench(folder, url, ",".join(SYMBOLS), RUN_S / 3600, FAST)
        bench.start()
        try:
            run = bench.run()
            refused = another(bench)
            scraped = whole_scrape(bench)
            kill_at_random(bench, run, len(TARGETS) + 1, random.Random(5), 0.3)
            bench.finish()
        finally:
            bench.close()
    [path] = folder.glob("artifacts/run_summary_*.json")
    oracle = {symbol: oracle_dataset(received(bench, symbol), ledger(bench, symbol), SHORT) for symbol in SYMBOLS}
    found = load(folder / "state")
    assert found is not None
    return Done(bench, found, json.loads(path.read_text("utf-8")), oracle, scraped, refused)


def another(bench: Bench) -> subprocess.CompletedProcess[str]:
    state = ["--set", f"STATE_DIR={bench.folder / 'state'}"]
    command = [sys.executable, "cli.py", "harvest", "--endpoint", bench.url, *state]
    return subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)


def whole_scrape(bench: Bench) -> str:
    """Scrape until every name has a series; a run of seconds needs some of them to get there."""
    end = time.monotonic() + 60
    while True:
        text = urllib.request.urlopen(bench.metrics_url()).read().decode()
        missing = set(METRICS) - {
            sample.name for family in text_string_to_metric_families(text) for sample in family.samples
        }
        if not missing:
            return text
        assert time.monotonic() < end, missing
        time.sleep(0.5)


def received(bench: Bench, symbol: str) -> list[dict]:
    found = []
    for file in list_files(bench.settings().spool_dir, symbols=[symbol]):
        for line in read_lines(file):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue  # torn by a kill
    return found


def ledger(bench: Bench, symbol: str) -> list[dict]:
    return [row for row in read_ledger(bench.settings().spool_dir) if row.get("symbol") in (symbol, None, "")]


def test_the_run_was_killed_and_went_on(done: Done) -> None:
    assert {target for target, _ in done.bench.kills} == set(TARGETS)
    assert (done.run.starts, done.run.finished) == (2, True)
    log = done.bench.log()
    for target in {target for target, _ in done.bench.kills} - {"parent"}:
        assert f"WARNING harvest.child_died child={target} status=-9" in log
    assert "INFO harvest.continued " in log


def test_the_dataset_is_that_of_one_batch_build(done: Done) -> None:
    assert differing(frames(done.bench.settings().data_dir), batch_frames(done.bench)) == []


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_dataset_is_that_of_the_oracle(symbol: str, done: Done) -> None:
    assert_same_tables(tables_of(done.bench.settings().data_dir, symbol), done.oracle[symbol])


def test_every_artifact_is_there_and_valid(done: Done) -> None:
    folder = done.bench.folder / "artifacts"
    stamp = f"{datetime.fromtimestamp(done.run.start_ms / 1000, UTC):%Y%m%d_%H%M}"
    hours = range(done.run.start_ms // HOUR_MS, (done.run.end_ms - 1) // HOUR_MS + 1)
    labels = [f"{datetime.fromtimestamp(hour * 3600, UTC):%Y%m%d_%H}" for hour in hours]
    reports = [f"dq_reports/{name}" for label in labels for name in (f"dq_{label}.json", f"dq_{label}.html")]
    reports += [f"dq_reports/slices_manifest_{label}.json" for label in labels]
    reports += [f"dq_reports/{name}" for name in (f"dq_total_{labels[-1]}.json", f"dq_total_{labels[-1]}.html")]
    reports += [f"dq_reports/slices_manifest_total_{labels[-1]}.json"]
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert present == {*reports, f"run_summary_{stamp}.json", f"run_logs/harvest_{stamp}.log", "run_logs/run.json"}
    assert set(done.summary["reports"]) == set(reports)
    jsonschema.validate(done.summary, schema("run_summary"))
    for name in reports:
        if name.endswith(".json"):
            which = "slices_manifest" if "manifest" in name else "dq"
            jsonschema.validate(json.loads((folder / name).read_text("utf-8")), schema(which))


def test_every_line_of_the_log_is_an_event(done: Done) -> None:
    lines = done.bench.log().splitlines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert lines[-1].split()[2] == "harvest.finished"


def test_the_exit_status_is_the_verdict(done: Done) -> None:
    passed = all(gate["passed"] is not False for gate in done.summary["gates"])
    assert (done.bench.status, done.summary["passed"]) == (0 if passed else 1, passed)
    shown = (done.bench.folder / "out.txt").read_text("utf-8")
    assert shown.startswith("PASS" if passed else "FAIL")
    assert done.summary["params_fingerprint"] == done.bench.settings().fingerprint()
    assert done.summary["params_fingerprint"] in shown
    assert shlex.split(done.summary["analyse"])[:4] == ["ofi", "analyze", "--symbols", ",".join(SYMBOLS)]


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_counts_equal_a_recount_of_the_spool(symbol: str, done: Done) -> None:
    told = done.summary["symbols"][symbol]
    assert told["rows"] == {kind: len(done.rows(symbol, kind)) for kind in KINDS}
    prices = done.rows(symbol, "prices")
    assert told["scenario_2x2"] == {scene: sum(row["scenario_2x2"] == scene for row in prices) for scene in SCENES}
    for session, scenes in told["session"].items():
        own = [row["scenario_2x2"] for row in prices if row["session"] == session]
        assert scenes == {scene: own.count(scene) for scene in SCENES}
    assert told["trade_ids_missing"] == sum(row["gap_before"] for row in prices)
    minutes = range(done.run.start_ms // 60_000, -(-done.run.end_ms // 60_000))
    assert told["minutes"] == len(minutes)
    assert told["empty_minutes"] == len(set(minutes) - {row["ts_ms"] // 60_000 for row in prices})
    latencies = sorted(row["latency_ms"] for row in prices if row["latency_ms"] is not None)
    for name, q in (("p50", "0.5"), ("p90", "0.9"), ("p99", "0.99")):
        assert told["latency_ms"][name] == pytest.approx(quantile(latencies, Fraction(q)))
    clock = [row for row in ledger(done.bench, symbol) if row["event"] == "clock"]
    offsets = [row["offset_ms"] for row in clock if row["recv_ns"] < done.run.end_ms * 10**6]
    assert told["latency_ms"]["offset"] == pytest.approx(median(offsets))
    ids = Counter(frame["data"]["a"] for frame in received(done.bench, symbol) if frame["stream"].endswith("@aggTrade"))
    assert told["duplicates_received"]["in_spool"] == sum(ids.values()) - len(ids)


def test_gates_equal_a_recount_of_the_spool(done: Done) -> None:
    told = done.summary["symbols"]
    assert done.gate("empty_minutes")["passed"] == all(one["empty_minutes"] == 0 for one in told.values())
    missing = sum(row["gap_before"] for symbol in SYMBOLS for row in done.rows(symbol, "prices"))
    assert (done.gate("trade_ids")["value"], done.gate("trade_ids")["passed"]) == (missing, missing == 0)
    events = sum(len(done.rows(symbol, "events")) for symbol in SYMBOLS)
    assert (done.gate("signals")["value"], done.gate("signals")["verdict"]) == (events, "not_yet")  # so short a run
    corrected = {name: max(one["latency_ms"][f"{name}_corrected"] for one in told.values()) for name in ("p50", "p99")}
    assert done.gate("latency")["passed"] == (corrected["p50"] < 60 and corrected["p99"] < 120)
    clipped = [row for symbol in SYMBOLS for row in done.rows(symbol, "cvd") if row["z_raw"] is not None]
    assert done.gate("winsor")["value"] == sum(abs(row["z_raw"]) > abs(row["z_cvd"]) for row in clipped)
    assert done.gate("slices_complete")["passed"]
    assert done.gate("duplicates")["passed"]
    assert {done.gate(name)["verdict"] for name in ("coverage_scene", "coverage_session")} == {"not_yet"}
    assert done.summary["scene_coverage_miss"] == 0
    failed = [gate["name"] for gate in done.summary["gates"] if gate["verdict"] == "fail"]
    assert done.summary["run_tag"] == ("failed_gates" if failed else "ok")


def test_every_part_of_the_run_is_named_with_its_hash(done: Done) -> None:
    data = done.bench.settings().data_dir
    told = {one["path"]: (one["bytes"], one["sha256"]) for one in done.summary["parts"]["files"]}
    for path, facts in told.items():
        content = (data / path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == facts
    starts = range(done.run.start_ms, done.run.end_ms, 1000 * SLICE_S)
    names = {f"part-{datetime.fromtimestamp(start / 1000, UTC):%Y%m%dT%H%M%SZ}.parquet" for start in starts}
    assert set(told) == {path.relative_to(data).as_posix() for path in data.rglob("*.parquet") if path.name in names}
    assert {name.rpartition("/")[2] for name in told} == names  # every slice of the run has rows


def test_a_scrape_of_the_running_harvest_has_every_name(done: Done) -> None:
    samples = [sample for family in text_string_to_metric_families(done.scraped) for sample in family.samples]
    assert {sample.name for sample in samples} == set(METRICS)
    values = {(sample.name, *sorted(sample.labels.values())): sample.value for sample in samples}
    for symbol in SYMBOLS:
        assert values["recv_rate_tps", symbol, "depth10@100ms"] > 0
        assert -1000 < values["latency_ms_p50", symbol, "aggTrade"] <= values["latency_ms_p99", symbol, "aggTrade"]
    assert values["cvd_scale_median", "BTCUSDT"] > 0  # the other may be in its warm-up still
    assert 0 <= values["cvd_floor_hit_rate", "BTCUSDT"] <= 1
    assert 0 < values["build_lag_sec",] < 60
    assert values["parquet_flush_sec", "slice"] > 0
    assert values["scene_coverage_miss",] == 0
    assert abs(values["clock_offset_ms",]) < 5000


def test_a_second_harvest_of_the_dataset_is_refused(done: Done) -> None:
    assert done.refused.returncode == 1
    assert "expected to be the only harvest of this dataset, found another" in done.refused.stderr
