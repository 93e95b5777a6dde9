"""What the parent knows: metrics across restarts of a child, alerts, the panel, the log."""

from __future__ import annotations

import io
import logging
import pickle
from pathlib import Path

import pytest
from rich.console import Console

from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.harvest.messages import Built, Counted, Dataset, Judged
from ofi_cvd.harvest.panel import panel
from ofi_cvd.harvest.run import Run
from ofi_cvd.harvest.run_log import RunLog
from ofi_cvd.harvest.run_state import RunState
from ofi_cvd.quality.files import log_path
from ofi_cvd.settings import Settings

START_MS = 1_767_614_400_000
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture
def state() -> RunState:
    settings = Settings(symbols=SYMBOLS)
    run = Run(
        start_ms=START_MS, end_ms=START_MS + 3_600_000, slice_ms=60_000, symbols=SYMBOLS,
        params_fingerprint=settings.fingerprint(),
    )  # fmt: skip
    return RunState(run, settings)


def values(state: RunState) -> dict[tuple[str, ...], float]:
    samples = state.metrics.samples()
    return {(sample.name, *(value for _, value in sample.labels)): sample.value for sample in samples}


def counted(**changes: object) -> Counted:
    stats = RecorderStats(connections=2, reconnects=1, clock_offset_ms=-3.0)
    trades = stats.stream("BTCUSDT", "aggTrade")
    trades.received, trades.rate, trades.silence_s, trades.deadline_s = 100, 12.5, 0.25, 15.0
    trades.gaps, trades.missing, trades.repaired = 1, 7, 5
    for ms in range(100):
        trades.latency_ms.add(ms)
    for name, value in changes.items():
        setattr(trades, name, value)
    return Counted(pickle.dumps(stats))


def test_a_builder_s_errors_add_up_over_its_lives(state: RunState) -> None:
    for errors in (0, 2, 3, 0, 1):
        state.built(Built({}, 1.0, errors))
    state.tick(START_MS, 0.0)
    assert values(state)["write_errors_total", "parquet"] == 4


def test_the_lag_grows_until_the_last_symbol_is_published(state: RunState) -> None:
    state.built(Built({"BTCUSDT": START_MS + 60_000}, 1.5, 0))
    state.tick(START_MS + 70_000, 0.0)
    assert values(state)["build_lag_sec",] == 70
    state.built(Built(dict.fromkeys(SYMBOLS, START_MS + 60_000), 1.5, 0))
    state.tick(START_MS + 70_000, 1.0)
    assert (values(state)["build_lag_sec",], values(state)["parquet_flush_sec", "slice"]) == (10, 1.5)


def test_everything_is_built_only_if_nothing_failed(state: RunState) -> None:
    state.built(Built({}, 1.0, 0, {"BTCUSDT": "no room"}, final=True))
    assert not state.is_final
    state.built(Built({}, 1.0, 0, final=True))
    assert state.is_final


def test_alerts_come_from_what_was_told(state: RunState) -> None:
    state.counted(counted())
    state.dataset(Dataset({}, {}))
    assert state.tick(START_MS, 0.0) == []
    state.counted(counted(silence_s=16.0))
    state.judged(Judged("hour", 0, {"coverage_scene": "fail"}, "insufficient_coverage", 3))
    began = {alert.rule.name for alert in state.tick(START_MS, 5.0)}
    assert began == {"OfiStreamSilent", "OfiCoverageMissing"}
    state.counted(counted())
    assert {(alert.rule.name, alert.fired) for alert in state.tick(START_MS, 10.0)} == {("OfiStreamSilent", False)}


def test_the_panel_shows_what_is_known(state: RunState) -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=160)
    console.print(panel(state, [], START_MS - 25_000))
    assert "starts in 25 s" in shown.getvalue()
    console.print(panel(state, [], START_MS))
    state.counted(counted())
    state.built(Built({"BTCUSDT": START_MS + 60_000}, 1.5, 0))
    state.dataset(Dataset({}, {"BTCUSDT": "A_H", "ETHUSDT": None}))
    state.judged(Judged("check", 0, {"latency": "pass", "signals": "fail", "winsor": "not_yet"}, "failed_gates", 1))
    state.tick(START_MS + 1_800_000, 0.0)
    console.print(panel(state, ["a warning"], START_MS + 1_800_000))
    _, first, second = shown.getvalue().split("gates so far: not judged yet")
    assert "harvest 20260105_1200  01-05 12:00:00 to 01-05 13:00:00 UTC  0.0%" in first
    assert "50.0%  30 min 00 s left  connections 2  reconnects 1  behind 1800 s  Ctrl-C stops it cleanly" in second
    row = next(line.split() for line in second.splitlines() if "BTCUSDT" in line)
    assert row == ["BTCUSDT", "12.5", "0.0", "49", "98", "01-05", "12:01:00", "A_H", "1", "2", "0", "0"]
    assert "gates so far (failed_gates): latency SIGNALS winsor" in second
    assert "ALERT OfiCoverageMissing" in second
    assert "a warning" in second


def test_the_log_is_appended_to_and_keeps_the_last_warnings(state: RunState, tmp_path: Path) -> None:
    path = log_path(tmp_path, state.run.stamp)
    assert path == tmp_path / "run_logs" / "harvest_20260105_1200.log"
    for _ in range(2):
        run_log = RunLog(path, None)
        run_log.handle(
            logging.makeLogRecord(
                {"levelno": logging.INFO, "levelname": "INFO", "msg": "harvest.began", "symbols": "A,B"}
            )
        )
        run_log.line(logging.WARNING, "a child's warning\nwith a trace")
        run_log.close()
        run_log.line(logging.WARNING, "too late, and no fault")
    lines = path.read_text("utf-8").splitlines()
    assert [line.partition("Z ")[2] or line for line in lines] == 2 * [
        "INFO harvest.began symbols=A,B",
        "a child's warning",
        "with a trace",
    ]
    assert list(run_log.recent) == ["a child's warning", "too late, and no fault"]
