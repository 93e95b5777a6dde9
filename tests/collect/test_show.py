"""What a person sees: the panel, the log lines, the counters behind them."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ofi_cvd.binance.prices import trade_price
from ofi_cvd.collect.panel import Disk, panel, span
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


def shown(stats: RecorderStats, width: int = 200, encoding: str = "utf-8") -> str:
    """The panel as the bytes of a terminal of that width and encoding; letters that it lacks fail."""
    raw = io.BytesIO()
    console = Console(width=width, file=io.TextIOWrapper(raw, encoding, write_through=True))
    console.print(panel(stats, console, left_s=7_500.0, disk=Disk(3_400_000, 12_000_000_000)))
    return raw.getvalue().decode(encoding)


def recorded() -> RecorderStats:
    stats = RecorderStats(connections=2)
    row = stats.stream("BTCUSDT", "aggTrade")
    row.received, row.rate, row.gaps, row.missing, row.repaired = 1234, 55.5, 1, 7, 7
    row.latency_ms.add(42)
    row.last_frame = b'{"stream":"btcusdt@aggTrade","data":{"a":5,"p":"60123.40000000","q":"1"}}'
    stats.stream("BTCUSDT", "depth10@100ms").silence_s = 1.25
    return stats


def test_the_panel_shows_price_rates_lag_gaps_disk_and_how_to_stop() -> None:
    stats = recorded()
    stats.write_errors, stats.retained_bytes = 3, 5 * 2**20
    text = shown(stats)
    for word in (
        "BTCUSDT", "aggTrade", "60123.4 ", "55.5", "1234", "42", "DISK REFUSES: 3 errors, 5.0 MB in memory",
        "2 h 05 min left", "spool 3.4 MB", "free 12.0 GB", "Ctrl-C stops it cleanly",
    ):  # fmt: skip
        assert word in text
    assert "waiting" not in text


def test_the_panel_waits_before_the_first_data() -> None:
    assert "waiting for the first data" in shown(RecorderStats())


@pytest.mark.parametrize("width", [80, 200])
def test_the_panel_fits_and_is_ascii_where_the_terminal_has_no_more(width: int) -> None:
    text = shown(recorded(), width, "ascii")
    assert max(map(len, text.splitlines())) <= width
    row = next(line for line in text.splitlines() if "aggTrade" in line)
    assert {"BTCUSDT", "aggTrade", "60123.4", "55.5", "42"} <= set(row.split())
    assert "depth10@100ms" in text  # whole
    assert "\u2500" in shown(recorded(), width)


@pytest.mark.parametrize("frame", [b"", b"{", b'{"data":{}}', b'{"data":{"p":"soon"}}', b'{"data":{"p":"NaN"}}'])
def test_a_frame_without_a_price_has_none(frame: bytes) -> None:
    assert trade_price(frame) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(-3, "0 s"), (9.9, "9 s"), (249, "4 min 09 s"), (3900, "1 h 05 min"), (183_600, "2 d 03 h")]
)
def test_a_length_of_time_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_the_disk_is_what_the_files_take(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"x" * 1000)
    (tmp_path / "two").write_bytes(b"x" * 24)
    found = Disk.of(tmp_path)
    assert found.used == 1024
    assert found.free > 0


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
