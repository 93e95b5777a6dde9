"""Every threshold of every gate: the figure on the line, and the one beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pytest

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.quality.coverage import Counts, Coverage, judge_scenes, judge_sessions
from ofi_cvd.quality.figures import Figures
from ofi_cvd.quality.gates import judge
from ofi_cvd.quality.published import Published
from ofi_cvd.quality.verdicts import Gate, run_tag
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings

SYMBOL = "BTCUSDT"
START_MS = 1_760_572_800_000  # 2025-10-16T00:00:00Z
FULL = Window(START_MS, START_MS + 72 * HOUR_MS, (SYMBOL,))
SETTINGS = Settings(symbols=SYMBOL)
SOUND: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "empty_minutes": [
        {"symbol": SYMBOL, "minutes": 4320, "empty_minutes": 0, "empty_minute_rate": 0.0, "first_empty_ms": 0}
    ],
    "book_minutes": [
        {"symbol": SYMBOL, "n": 9, "minutes": 4320, "book_empty_minutes": 0, "book_empty_minute_rate": 0.0,
         "first_empty_ms": 0}
    ],
    "slices_missing": [],
    "slices_wrong": [],
    "duplicates_stored": [{"symbol": SYMBOL, "kind": "prices", "n": 1000, "duplicates": 0, "duplicate_rate": 0.0}],
    "trade_ids": [{"symbol": SYMBOL, "trade_gaps": 0, "trade_ids_missing": 0, "ids_absent": 0, "first_gap_ms": None,
                   "epochs_opened": 0, "first_opening_ms": None}],
    "latency": [{"symbol": SYMBOL, "n": 9, "p50": 1.0, "p90": 2.0, "p99": 3.0}],
    "clock": [{"n": 9, "offset_ms": 0.0}],
    "signals": [{"symbol": SYMBOL, "event_type": "pivot_high", "n": 1000}],
    "winsor": [{"symbol": SYMBOL, "rows_after_warm_up": 9, "nulls": 0, "half_nulls": 0, "winsorised": 1}],
    "not_finite": [],
    "slowest_window": [],
    "coverage_scene": [],
}  # fmt: skip


def verdicts(window: Window = FULL, **changes: Mapping[str, Any]) -> dict[str, Gate]:
    """Judge sound figures with some of them changed."""
    answers = {name: [{**row, **changes.get(name, {})} for row in rows] for name, rows in SOUND.items()}
    frames = {name: pl.DataFrame(rows or {"symbol": []}) for name, rows in answers.items()}
    coverage = Coverage(window, Counts(), {})
    return {
        gate.name: gate
        for gate in judge(Figures(frames, Published((), "checkpoint", None)), window, SETTINGS, coverage)
    }


@pytest.mark.parametrize(
    ("gate", "answer", "change", "passed"),
    [
        ("empty_minutes", "empty_minutes", {"empty_minute_rate": 0.000999}, True),
        ("empty_minutes", "empty_minutes", {"empty_minute_rate": 0.001}, False),
        ("book_minutes", "book_minutes", {"book_empty_minute_rate": 0.000999}, True),
        ("book_minutes", "book_minutes", {"book_empty_minute_rate": 0.001}, False),
        ("book_minutes", "book_minutes", {"n": 0}, False),
        ("duplicates", "duplicates_stored", {"duplicate_rate": 0.004999}, True),
        ("duplicates", "duplicates_stored", {"duplicate_rate": 0.005}, False),
        ("trade_ids", "trade_ids", {"trade_ids_missing": 1, "trade_gaps": 1}, False),
        ("trade_ids", "trade_ids", {"ids_absent": 1}, False),
        ("trade_ids", "trade_ids", {"epochs_opened": 1, "first_opening_ms": 0}, False),
        ("latency", "latency", {"p50": 59.999}, True),
        ("latency", "latency", {"p50": 60.0}, False),
        ("latency", "latency", {"p99": 119.999}, True),
        ("latency", "latency", {"p99": 120.0}, False),
        ("latency", "clock", {"offset_ms": 58.999}, True),
        ("latency", "clock", {"offset_ms": 59.0}, False),
        ("winsor", "winsor", {"winsorised": 0}, False),
        ("winsor", "winsor", {"nulls": 1}, False),
    ],
)
def test_a_figure_on_the_line_fails_and_beside_it_passes(
    gate: str, answer: str, change: dict[str, float], passed: bool
) -> None:
    found = verdicts(**{answer: change})
    assert found[gate].passed is passed
    others = [one.name for one in found.values() if one.failed and not one.name.startswith("coverage_")]
    assert others == ([] if passed else [gate])


@pytest.mark.parametrize(
    ("hours", "symbols", "events", "threshold", "verdict"),
    [
        (72, 6, 1000, 1000, "pass"),
        (72, 6, 999, 1000, "fail"),
        (1, 6, 14, 14, "pass"),  # 13.9 are expected
        (1, 6, 13, 14, "fail"),
        (36, 1, 84, 84, "pass"),
        (36, 1, 83, 84, "fail"),
        (432 / 1000, 1, 0, 1, "fail"),  # exactly one is expected
        (431 / 1000, 1, 0, 0, "not_yet"),
    ],
)
def test_events_scale_with_hours_and_symbols(
    hours: float, symbols: int, events: int, threshold: int, verdict: str
) -> None:
    names = tuple(f"S{i}USDT" for i in range(symbols))
    window = Window(START_MS, START_MS + round(hours * HOUR_MS), names)
    gate = verdicts(window, signals={"n": events})["signals"]
    assert (gate.threshold, gate.value, gate.verdict) == (threshold, events, verdict)


def coverage(
    hours: float, *, warm_from_s: int = 0, n: int = 100_000, session: str = "Tokyo", **scenes: int
) -> Coverage:
    """Return coverage of one symbol whose grid begins `warm_from_s` seconds into the window."""
    window = Window(START_MS, START_MS + round(hours * HOUR_MS), (SYMBOL,))
    counts = Counter({"n": n, "A_H": 20_000, "A_L": 20_000, "Q_H": 20_000, "Q_L": 20_000} | scenes)
    sessions = {
        (SYMBOL, name): counts if name == session else Counter({"A_H": 9999, "Q_L": 9999})
        for name in ("Tokyo", "London", "NY")
    }
    return Coverage(window, Counts({SYMBOL: counts}, sessions), {SYMBOL: START_MS + 1000 * warm_from_s})


@pytest.mark.parametrize(
    ("found", "misses"),
    [
        (coverage(72, Q_L=2000), 0),
        (coverage(72, Q_L=1999), 1),
        (coverage(72, Q_L=0, A_H=0), 2),
        (coverage(240, Q_L=2000), 0),
        (coverage(240, Q_L=1999), 1),
        (coverage(72, n=20_000, Q_L=1000), 0),  # 5 % of the symbol's
        (coverage(72, n=20_000, Q_L=999), 1),
        (coverage(36, Q_L=1000), 0),
        (coverage(36, Q_L=999), 1),
        (coverage(72, n=0, A_H=0, A_L=0, Q_H=0, Q_L=0), 4),
    ],
)
def test_scenarios_need_2000_trades_or_five_percent(found: Coverage, misses: int) -> None:
    gate = judge_scenes(found, SETTINGS, ())
    assert (gate.value, gate.passed) == (misses, misses == 0)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (coverage(72, A_H=1000, A_L=1000, Q_H=0, Q_L=0), "pass"),
        (coverage(72, A_H=1000, A_L=999, Q_H=0, Q_L=0), "fail"),
        (coverage(36, session="NY", A_H=334, A_L=334, Q_H=0, Q_L=0), "pass"),  # 8 of 24 hours of NY: 333.3
        (coverage(36, session="NY", A_H=334, A_L=333, Q_H=0, Q_L=0), "fail"),
        (coverage(3, A_H=125, A_L=125, Q_H=0, Q_L=0), "pass"),
        (coverage(3, A_H=125, A_L=124, Q_H=0, Q_L=0), "fail"),
    ],
)
def test_sessions_need_two_scenarios_of_1000_trades_a_day(found: Coverage, verdict: str) -> None:
    assert judge_sessions(found, SETTINGS).verdict == verdict


WARM_UP_S = 300 + 3600


@pytest.mark.parametrize(
    ("hours", "warm_from_s", "verdict"),
    [
        (1, 0, "not_yet"),
        ((WARM_UP_S + 3600) / 3600, 0, "fail"),  # an hour of judged time
        ((WARM_UP_S + 3599.999) / 3600, 0, "not_yet"),
        (1, -WARM_UP_S, "fail"),  # the symbol was warm when the window began
        (1, 0.001 - WARM_UP_S, "not_yet"),
        (72, 71 * 3600, "not_yet"),  # a symbol that began an hour ago
        (72, 0, "fail"),
    ],
)
def test_coverage_is_judged_after_an_hour_of_judged_time(hours: float, warm_from_s: float, verdict: str) -> None:
    """Nothing recorded but one scenario: a miss, as soon as it can be judged."""
    window = Window(START_MS, START_MS + round(hours * HOUR_MS), (SYMBOL,))
    counts = Counter({"n": 50_000, "A_H": 50_000})
    sessions = {(SYMBOL, name): counts for name in ("Tokyo", "London", "NY")}
    found = Coverage(window, Counts({SYMBOL: counts}, sessions), {SYMBOL: START_MS + round(1000 * warm_from_s)})
    gates = (judge_scenes(found, SETTINGS, ()), judge_sessions(found, SETTINGS))
    assert [gate.verdict for gate in gates] == [verdict, verdict]
    assert (found.misses(SETTINGS) > 0) == (verdict == "fail")
    assert run_tag(gates) == ("insufficient_coverage" if verdict == "fail" else "ok")


def test_one_judged_symbol_is_enough_and_the_others_are_named() -> None:
    counts = Counter({"n": 100_000, "A_H": 25_000, "A_L": 25_000, "Q_H": 25_000, "Q_L": 25_000})
    window = Window(START_MS, START_MS + 72 * HOUR_MS, (SYMBOL, "NEWUSDT"))
    found = Coverage(
        window,
        Counts({SYMBOL: counts, "NEWUSDT": Counter({"n": 5})}, {}),
        {SYMBOL: START_MS, "NEWUSDT": window.end_ms - 5},
    )
    gate = judge_scenes(found, SETTINGS, ())
    assert gate.verdict == "pass"
    assert "not judged before an hour after warm-up: NEWUSDT" in gate.detail


def test_the_tag_names_both_kinds_of_failure() -> None:
    fail, scenes = Gate("latency", "fail", None, 0, ""), Gate("coverage_scene", "fail", 1, 0, "")
    sessions, waiting = Gate("coverage_session", "fail", 1, 2, ""), Gate("signals", "not_yet", 0, 0, "")
    assert run_tag((waiting,)) == "ok"
    assert run_tag((fail, waiting)) == "failed_gates"
    assert run_tag((scenes, sessions)) == "insufficient_coverage"
    assert run_tag((scenes, fail)) == "insufficient_coverage+failed_gates"


def test_warm_up_of_the_cvd_scale_is_not_judged() -> None:
    """A symbol below MAD_MIN_TRADES is named; with no other symbol nothing is judged."""
    gate = verdicts(winsor={"rows_after_warm_up": 0, "winsorised": 0})["winsor"]
    assert gate.verdict == "not_yet"
    assert f"not judged before 50 trades: {SYMBOL}" in gate.detail


def test_without_a_book_source_its_gate_does_not_apply() -> None:
    from ofi_cvd.quality.completeness import book_minutes  # noqa: PLC0415

    none = SETTINGS.model_copy(update={"book_source": "none"})
    gate = book_minutes(Figures({}, Published((), "checkpoint", None)), FULL, none)
    assert (gate.verdict, gate.passed) == ("not_applicable", None)
