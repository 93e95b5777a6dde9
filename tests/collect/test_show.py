"""What a person sees: the panel, the log lines, the counters behind them."""

from __future__ import annotations

import logging

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ofi_cvd.collect.panel import panel
from ofi_cvd.collect.stats import Quantiles, RecorderStats
from ofi_cvd.common.logs import FactsFormatter


@given(st.lists(st.integers(-999, 999), min_size=1, max_size=200), st.floats(0.01, 1))
def test_quantiles_are_those_of_the_sorted_values(values: list[int], q: float) -> None:
    sketch = Quantiles()
    for value in values:
        sketch.add(value)
    exact = next(v for v in sorted(values) if sum(other <= v for other in values) >= q * len(values))
    assert sketch.quantile(q) == exact


@given(st.integers(-90_000, 90_000))
def test_large_values_are_kept_within_ten_milliseconds(value: int) -> None:
    sketch = Quantiles()
    sketch.add(value)
    got = sketch.quantile(0.5)
    assert got is not None
    assert abs(got - value) < 10


def test_quantiles_forget() -> None:
    sketch = Quantiles()
    assert sketch.quantile(0.5) is None
    sketch.add(5)
    sketch.turn(1000.0)
    assert sketch.quantile(0.5) == 5
    sketch.turn(1100.0)
    assert sketch.quantile(0.5) is None


def test_the_panel_shows_rates_lag_and_gaps() -> None:
    stats = RecorderStats(connections=2, write_errors=3, retained_bytes=5 * 2**20)
    row = stats.stream("BTCUSDT", "aggTrade")
    row.received, row.rate, row.gaps, row.missing, row.repaired = 1234, 55.5, 1, 7, 7
    row.latency_ms.add(42)
    console = Console(width=200, record=True, file=None, force_terminal=False, quiet=True)
    console.print(panel(stats))
    with console.capture() as capture:
        console.quiet = False
        console.print(panel(stats))
    text = capture.get()
    for word in ("BTCUSDT", "aggTrade", "55.5", "1234", "42", "DISK REFUSES: 3 errors, 5.0 MB in memory"):
        assert word in text


def test_a_log_line_is_an_event_with_facts() -> None:
    record = logging.makeLogRecord(
        {"msg": "collect.%s", "args": ("gap",), "levelname": "WARNING", "created": 0.5, "msecs": 500.0}
        | {"symbol": "BTCUSDT", "missing": 3, "reason": "two words", "ids": [[1, 2]], "rate": 0.25}
    )
    line = FactsFormatter().format(record)
    assert line == (
        '1970-01-01T00:00:00.500Z WARNING collect.gap symbol=BTCUSDT missing=3 reason="two words" ids=[[1,2]] rate=0.25'
    )


def test_a_log_line_never_breaks() -> None:
    record = logging.makeLogRecord({"msg": "collect.drop", "sample": 'a\nb "c"', "levelname": "WARNING"})
    assert "\n" not in FactsFormatter().format(record)
