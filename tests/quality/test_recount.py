"""A simulated recording, built by the real builder: the report's counts equal a recount of the spool's lines."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from ofi_cvd.cli import app
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.publish.compact import compact
from ofi_cvd.publish.run import build
from ofi_cvd.quality.report import encode, judge_window, schema
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings

SYMBOLS = ("BTCUSDT", "XRPUSDT")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = tmp_path_factory.mktemp("recount")
    arguments = [
        "simulate",
        "--hours",
        "0.5",
        "--symbols",
        ",".join(SYMBOLS),
        "--seed",
        "5",
        "--out",
        str(root / "spool"),
    ]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = Settings(
        symbols=SYMBOLS, spool_dir=root / "spool", data_dir=root / "ofi_cvd", state_dir=root / "state", vol_min_secs=60
    )
    build(found, slice_secs=60, workers=1)
    return found


def lines(spool: Path) -> list[dict[str, object]]:
    return [
        json.loads(line) for path in sorted(spool.rglob("*.aggTrade.ndjson")) for line in path.read_bytes().splitlines()
    ]


def test_counts_equal_a_recount_of_the_spool(settings: Settings) -> None:
    """Trades, minutes, duplicates, ids and the latency's range, each counted again line by line."""
    received = lines(settings.spool_dir)
    start = min(line["data"]["T"] for line in received) // HOUR_MS * HOUR_MS
    window = Window(start, start + HOUR_MS // 2, SYMBOLS)
    document = json.loads(encode(judge_window(window, settings, received=True).document()))
    jsonschema.validate(document, schema("dq"))
    for symbol in SYMBOLS:
        own = [line for line in received if line["data"]["s"] == symbol]
        ids = Counter(line["data"]["a"] for line in own)
        facts = document["symbols"][symbol]
        running, minutes = 0, set()
        for line in sorted(own, key=lambda line: line["data"]["a"]):
            running = max(running, line["data"]["T"])
            minutes.add(running // 60_000)
        latencies = sorted(line["recv_ns"] / 1e6 - line["data"]["E"] for line in own)
        assert facts["rows"]["prices"] == facts["rows"]["cvd"] == len(ids)
        assert facts["duplicates_received"]["in_spool"] == len(own) - len(ids)
        assert facts["empty_minutes"] == 30 - len(minutes)
        assert facts["trade_ids_absent"] == max(ids) - min(ids) + 1 - len(ids)
        assert latencies[0] <= facts["latency_ms"]["p50"] <= facts["latency_ms"]["p99"] <= latencies[-1]
    gates = {gate["name"]: gate for gate in document["gates"]}
    sound = ("empty_minutes", "slices_complete", "duplicates", "trade_ids", "latency", "signals")
    assert {name: gates[name]["detail"] for name in sound if not gates[name]["passed"]} == {}


def test_compaction_of_built_slices_leaves_the_builder_nothing_to_do(settings: Settings) -> None:
    """The checkpoint and the merged hours agree: a second build publishes nothing, the gates stand."""
    compact(settings.data_dir, state_dir=settings.state_dir)
    assert build(settings, slice_secs=60, workers=1).hours == {}
    start = min(line["data"]["T"] for line in lines(settings.spool_dir)) // HOUR_MS * HOUR_MS
    report = judge_window(Window(start, start + HOUR_MS // 2, SYMBOLS), settings, charts=False)
    assert next(gate for gate in report.gates if gate.name == "slices_complete").passed
