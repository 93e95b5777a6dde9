"""Alerts: one table of rules, judged alike by this process and by Prometheus, each fired and not fired."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from ofi_cvd.monitor.alerts import Alerts
from ofi_cvd.monitor.metrics import METRICS, Sample
from ofi_cvd.monitor.rules import RULES, alerts_yml

PROJECT = Path(__file__).parents[2]
PROMTOOL = shutil.which("promtool")
STREAM = {"symbol": "BTCUSDT", "stream": "aggTrade"}
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool: the Debian package `prometheus` brings it")


@dataclass(frozen=True)
class Case:
    """Values a minute of some series, and whether the alert fires at the end."""

    alert: str
    series: tuple[tuple[str, dict[str, str], tuple[float, ...]], ...]
    fires: bool


def _one(alert: str, metric: str, values: list[float], *, fires: bool, **labels: str) -> Case:
    return Case(alert, ((metric, labels, tuple(values)),), fires)


def _silence(values: list[float], deadline: float, *, fires: bool) -> Case:
    name, length = "stream_silence_sec", len(values)
    series = (
        (name, {**STREAM, "kind": "now"}, tuple(values)),
        (name, {**STREAM, "kind": "deadline"}, (deadline,) * length),
    )
    return Case("OfiStreamSilent", series, fires)


def _lag(values: list[float], limit: float, *, fires: bool) -> Case:
    series = (("build_lag_sec", {}, tuple(values)), ("build_lag_limit_sec", {}, (limit,) * len(values)))
    return Case("OfiBuildLagging", series, fires)


CASES = (
    _one("OfiLatencyHigh", "latency_ms_p99", [90.0] * 3 + [121.0] * 12, fires=True, **STREAM),
    _one("OfiLatencyHigh", "latency_ms_p99", [121.0] * 9 + [119.0] + [121.0] * 9, fires=False, **STREAM),
    _one("OfiLatencyHigh", "latency_ms_p99", [120.0] * 20, fires=False, **STREAM),
    _one("OfiReconnectsMany", "ws_reconnects_total", [float(i) for i in range(21)], fires=True),
    _one("OfiReconnectsMany", "ws_reconnects_total", [100.0 + i // 3 for i in range(21)], fires=False),
    _one("OfiReconnectsMany", "ws_reconnects_total", [float(min(i, 20)) for i in range(90)], fires=False),
    _one("OfiFloorHitRateHigh", "cvd_floor_hit_rate", [0.61] * 17, fires=True, symbol="BTCUSDT"),
    _one("OfiFloorHitRateHigh", "cvd_floor_hit_rate", [0.9] * 10, fires=False, symbol="BTCUSDT"),
    _one("OfiCoverageMissing", "scene_coverage_miss", [0.0, 1.0], fires=True),
    _one("OfiCoverageMissing", "scene_coverage_miss", [5.0, 0.0], fires=False),
    _silence([1.0, 16.0], 15.0, fires=True),
    _silence([16.0, 1.0], 15.0, fires=False),
    _silence([100.0, 100.0], 400.0, fires=False),
    _one("OfiTradeGapUnrepaired", "trade_gaps_total", [0.0, 0.0, 1.0], fires=True, symbol="BTCUSDT", kind="unrepaired"),
    _one("OfiTradeGapUnrepaired", "trade_gaps_total", [0.0, 0.0, 9.0], fires=False, symbol="BTCUSDT", kind="found"),
    _one("OfiTradeGapUnrepaired", "trade_gaps_total", [0.0, 1.0] + [1.0] * 62, fires=False, symbol="X", kind="unrepaired"),
    _one("OfiFramesDropped", "dropped_frames_total", [5.0, 6.0], fires=True, **STREAM),
    _one("OfiFramesDropped", "dropped_frames_total", [6.0, 6.0], fires=False, **STREAM),
    _one("OfiFramesDropped", "dropped_frames_total", [6.0, 2.0], fires=True, **STREAM),  # restarted, then dropped two
    _one("OfiTradeIdsOpen", "trade_ids_open", [3.0] * 12, fires=True, symbol="BTCUSDT"),
    _one("OfiTradeIdsOpen", "trade_ids_open", [3.0] * 9 + [0.0] + [3.0] * 9, fires=False, symbol="BTCUSDT"),
    _one("OfiSpoolLagging", "spool_lag_sec", [5.1, 5.1, 5.1], fires=True),
    _one("OfiSpoolLagging", "spool_lag_sec", [5.0, 9.0, 5.0, 5.0], fires=False),
    _lag([200.0, 305.1, 305.1, 305.1], 305.0, fires=True),
    _lag([305.0] * 9, 305.0, fires=False),
    _one("OfiReportOverdue", "report_overdue_sec", [0.0, 601.0], fires=True),
    _one("OfiReportOverdue", "report_overdue_sec", [0.0, 600.0], fires=False),
    _one("OfiWritesFailing", "write_errors_total", [0.0, 3.0], fires=True, kind="spool"),
    _one("OfiWritesFailing", "write_errors_total", [0.0, 3.0] + [3.0] * 12, fires=False, kind="spool"),
)  # fmt: skip
IDS = [f"{case.alert}-{'fires' if case.fires else 'quiet'}-{place}" for place, case in enumerate(CASES)]


def run(case: Case, alerts: Alerts) -> None:
    length = len(case.series[0][2])
    for minute in range(length):
        alerts.feed(
            60.0 * minute,
            [Sample(name, tuple(sorted(labels.items())), values[minute]) for name, labels, values in case.series],
        )


def test_each_rule_has_a_series_that_fires_it_and_one_that_does_not() -> None:
    """No rule is only assumed to work."""
    assert {(rule.name, fires) for rule in RULES for fires in (True, False)} == {(c.alert, c.fires) for c in CASES}


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_this_process_judges_a_series(case: Case) -> None:
    """After the last minute the alert is firing, or is not."""
    alerts = Alerts()
    run(case, alerts)
    assert [name for name, _ in alerts.firing()] == ([case.alert] if case.fires else [])


@pytest.mark.parametrize("case", [case for case in CASES if case.fires], ids=lambda case: case.alert)
def test_an_alert_fires_once_and_clears_once(case: Case) -> None:
    """One line at the beginning, one at the end, also when the series simply ends."""
    alerts, changes = Alerts(), []
    length = len(case.series[0][2])
    for minute in range(length + 30):
        at = min(minute, length - 1)
        samples = [Sample(name, tuple(sorted(labels.items())), values[at]) for name, labels, values in case.series]
        changes += alerts.feed(60.0 * minute, samples)
    assert [change.fired for change in changes if change.fired] == [True]
    assert str(changes[0]).startswith(f"alert {case.alert}")
    changes += alerts.feed(60.0 * (length + 200), [])
    assert [change.fired for change in changes] == [True, False]
    assert alerts.firing() == []


def test_series_are_judged_apart() -> None:
    """One silent stream does not make another look silent."""
    alerts = Alerts()
    samples = []
    for symbol, now in (("BTCUSDT", 20.0), ("ETHUSDT", 3.0)):
        for kind, value in (("now", now), ("deadline", 15.0)):
            labels = (("kind", kind), ("stream", "aggTrade"), ("symbol", symbol))
            samples.append(Sample("stream_silence_sec", labels, value))
    (alert,) = alerts.feed(0.0, samples)
    assert dict(alert.labels)["symbol"] == "BTCUSDT"
    assert alert.value == 20.0
    assert "symbol=BTCUSDT" in str(alert)


def test_the_rule_file_is_made_from_the_table() -> None:
    """`python -m ofi_cvd.monitor.rules` wrote what is shipped."""
    assert (PROJECT / "ops" / "prometheus" / "alerts.yml").read_text("utf-8") == alerts_yml()


@needs_promtool
def test_prometheus_accepts_the_rules_and_the_configuration() -> None:
    """`promtool check` has no objection."""
    folder = PROJECT / "ops" / "prometheus"
    for arguments in (("rules", "alerts.yml"), ("config", "prometheus.yml")):
        done = subprocess.run(
            [str(PROMTOOL), "check", *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{len(RULES) + 1} rules found" in done.stdout + done.stderr


@needs_promtool
def test_prometheus_judges_the_same_series_alike(tmp_path: Path) -> None:
    """`promtool test rules` agrees with this process on every series."""
    rules = {rule.name: rule for rule in RULES}
    tests = []
    for case in CASES:
        rule = rules[case.alert]
        series = [
            {"series": _selector(name, labels), "values": " ".join(f"{value:g}" for value in values)}
            for name, labels, values in case.series
        ]
        hidden = "kind" if rule.against else ""  # a label that both sides ignore is not in the answer
        labels = {name: value for name, value in case.series[0][1].items() if name != hidden}
        expected = {
            "exp_labels": {**labels, "severity": "warning"},
            "exp_annotations": {"summary": rule.summary, "description": rule.action},
        }
        tests.append(
            {
                "interval": "1m",
                "input_series": series,
                "alert_rule_test": [
                    {
                        "eval_time": f"{len(case.series[0][2]) - 1}m",
                        "alertname": case.alert,
                        "exp_alerts": [expected] if case.fires else [],
                    }
                ],
            }
        )
    document = {"rule_files": [(PROJECT / "ops" / "prometheus" / "alerts.yml").as_posix()], "tests": tests}
    path = tmp_path / "alerts.test.json"  # JSON is YAML
    path.write_text(json.dumps(document), "utf-8")
    done = subprocess.run([str(PROMTOOL), "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _selector(name: str, labels: dict[str, str]) -> str:
    return name + "{" + ",".join(f'{label}="{value}"' for label, value in labels.items()) + "}"


def _names(expressions: list[str]) -> set[str]:
    """Return the metric names in PromQL: what stands before a brace, a range or a comparison and is no function."""
    bare = [re.sub(r"\{[^}]*\}|by \([^)]*\)", "", text) for text in expressions]
    words = {word for text in bare for word in re.findall(r"[a-z_][a-z0-9_]+(?!\w|\s*\()", text)}
    return words - {"by", "ignoring", "kind", "max", "sum"}


def _dashboard() -> list[str]:
    document = json.loads((PROJECT / "ops" / "grafana" / "ofi.json").read_text("utf-8"))
    return [target["expr"] for panel in document["panels"] for target in panel.get("targets", [])]


def test_every_metric_that_is_asked_for_is_exported_and_the_other_way_round() -> None:
    """No rule or panel asks for a name nobody has, no metric is exported that nobody looks at."""
    asked = _names([rule.expr for rule in RULES]) | _names(_dashboard())
    assert asked == set(METRICS)


def test_panels_do_not_overlap() -> None:
    """Each panel has a place of its own on the dashboard's 24 columns."""
    document = json.loads((PROJECT / "ops" / "grafana" / "ofi.json").read_text("utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        box = panel["gridPos"]
        cells = {(x, y) for x in range(box["x"], box["x"] + box["w"]) for y in range(box["y"], box["y"] + box["h"])}
        assert not cells & taken, panel["title"]
        assert box["x"] + box["w"] <= 24
        taken |= cells
