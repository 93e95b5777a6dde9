"""Random outages of either stream: the verdicts equal those of a slow recount, minute by minute and hour by hour."""

from __future__ import annotations

import itertools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ofi_cvd.quality.report import judge_window
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings
from ofi_cvd.spool.layout import stream_path
from tests.quality.synthetic import START_MS, Market, Tables, ledger, publish

SYMBOL = "BTCUSDT"
HOURS = 3
HOUR_S = 3600
EVERY_S = 10  # a frame of each stream in the spool
FROM_S, TO_S = 1830, HOURS * HOUR_S - 600  # the run begins and ends within an hour, and not at a minute
SOURCES = ("depth10@100ms", "bookTicker")


@dataclass(frozen=True)
class Outage:
    """Seconds `[start_s, end_s)` without rows of trades or of books.

    Attributes:
        kept: the frames are in the spool: what is absent was lost by the build.
        declared: the recorder wrote a gap.
    """

    of: str
    start_s: int
    end_s: int
    kept: bool = False
    declared: bool = False

    def covers(self, second: float) -> bool:
        return self.start_s <= second < self.end_s


@st.composite
def outages(draw: st.DrawFn) -> Outage:
    edge = st.sampled_from([0, FROM_S, 1860, HOUR_S, 2 * HOUR_S, TO_S - 60, TO_S]) | st.integers(0, HOURS * HOUR_S)
    start = draw(edge)
    length = draw(st.sampled_from([1, 59, 60, 61, 299, 301, HOUR_S, HOURS * HOUR_S]) | st.integers(1, HOURS * HOUR_S))
    return Outage(
        draw(st.sampled_from(["trade", "book"])), start, start + length, draw(st.booleans()), draw(st.booleans())
    )


@given(lost=st.lists(outages(), max_size=4), source=st.sampled_from(SOURCES))
@example(lost=[Outage("book", 0, HOURS * HOUR_S)], source="depth10@100ms")  # no order book at all
@example(lost=[Outage("book", 0, HOURS * HOUR_S)], source="bookTicker")
@example(
    lost=[Outage("book", HOUR_S, HOUR_S + 2400, declared=True)], source="bookTicker"
)  # forty minutes of three hours
@example(lost=[Outage("book", HOUR_S + 5, HOUR_S + 125)], source="bookTicker")  # a quiet minute, and nothing says more
@example(lost=[Outage("book", HOUR_S, 2 * HOUR_S, kept=True)], source="bookTicker")
@example(lost=[Outage("trade", 2 * HOUR_S, HOURS * HOUR_S, kept=True)], source="depth10@100ms")
@settings(max_examples=12, deadline=None, print_blob=True)
def test_verdicts_equal_a_slow_recount(lost: list[Outage], source: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        rows = record(root, lost, source)
        window = Window(START_MS + 1000 * FROM_S, START_MS + 1000 * TO_S, (SYMBOL,))
        paths = {"data_dir": root / "ofi_cvd", "spool_dir": root / "spool", "state_dir": root / "state"}
        chosen = Settings(symbols=SYMBOL, book_streams=source, **paths)
        found = {gate.name: gate.verdict for gate in judge_window(window, chosen, charts=False, received=False).gates}
    empty = [minute for minute in range(FROM_S // 60, -(-TO_S // 60)) if not seconds_in(rows["trade"], minute)]
    minutes = -(-TO_S // 60) - FROM_S // 60
    assert found["empty_minutes"] == ("fail" if len(empty) / minutes >= 0.001 else "pass")
    assert found["book_minutes"] == ("fail" if book_fails(rows["book"], lost, source) else "pass")
    assert found["slices_complete"] == ("fail" if hour_lost(rows, lost) else "pass")


def record(root: Path, lost: list[Outage], source: str) -> dict[str, list[float]]:
    """Publish what the outages leave, write the spool and its ledger; return the times of rows within the run."""
    market = Market(symbols=(SYMBOL,), hours=HOURS, tps=1, faults={SYMBOL: (without(lost),)})
    publish(root, market)
    for of, stream in (("trade", "aggTrade"), ("book", source)):
        for hour in range(HOURS):
            seconds = range(hour * HOUR_S, (hour + 1) * HOUR_S, EVERY_S)
            lines = [frame(of, stream, second) for second in seconds if in_spool(of, second, lost)]
            path = stream_path(root / "spool", START_MS + 1000 * HOUR_S * hour, SYMBOL, stream)
            path.parent.mkdir(parents=True, exist_ok=True)
            if lines:
                path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    for one in lost:
        if one.declared and one.of == "book":
            at_ms, end_ms = START_MS + 1000 * one.start_s, START_MS + 1000 * one.end_s
            ledger(root, min(end_ms, START_MS + 3_600_000 * HOURS - 1), "gap", symbol=SYMBOL, stream=source,
                   start_ms=at_ms, end_ms=end_ms)  # fmt: skip
    trades = [i + 0.001 for i in range(HOURS * HOUR_S)]
    books = [i / 10 for i in range(HOURS * HOUR_S * 10)]
    left = {"trade": trades, "book": books}
    return {
        of: [at for at in times if FROM_S <= at < TO_S and not any(one.of == of and one.covers(at) for one in lost)]
        for of, times in left.items()
    }


def without(lost: list[Outage]):  # noqa: ANN201  # a fault of the made-up market
    def apply(found: Tables) -> Tables:
        left = dict(found)
        second = (pl.col("ts_ms") - START_MS) / 1000
        for kind in ("prices", "cvd", "ofi", "fusion"):
            of = "trade" if kind in ("prices", "cvd") else "book"
            for one in lost:
                if one.of == of:
                    left[kind] = left[kind].filter(~second.is_between(one.start_s, one.end_s, closed="left"))
        return left

    return apply


def frame(of: str, stream: str, second: int) -> dict[str, object]:
    at_ms = START_MS + 1000 * second + 1
    data = {"E": at_ms, "T": at_ms, "s": SYMBOL}
    if of == "trade":
        data |= {"e": "aggTrade", "a": 1000 + second, "p": "100.0", "q": "1.0", "m": False}
    elif stream == "bookTicker":
        data |= {"u": second + 1, "b": "99.0", "B": "1", "a": "101.0", "A": "1"}
    else:
        data |= {"u": second + 1, "U": second, "pu": second, "b": [["99.0", "1"]], "a": [["101.0", "1"]]}
    return {"recv_ns": at_ms * 1_000_000, "conn": "m1", "stream": f"btcusdt@{stream}", "data": data}


def in_spool(of: str, second: int, lost: list[Outage]) -> bool:
    return not any(one.of == of and one.covers(second) and not one.kept for one in lost)


def seconds_in(times: list[float], minute: int) -> list[float]:
    return [at for at in times if 60 * minute <= at < 60 * (minute + 1)]


def book_fails(books: list[float], lost: list[Outage], source: str) -> bool:
    """Say whether the whole minutes of the run without a book are 0.1 % of them or more, or there is no book at all."""
    if not books:
        return True
    whole = range(-(-FROM_S // 60), TO_S // 60)
    empty = [minute for minute in whole if not seconds_in(books, minute)]
    if source == "bookTicker":
        edges = [FROM_S, *books, TO_S]
        spans = [(a, b) for a, b in itertools.pairwise(edges) if b - a >= 300]
        spans += [(one.start_s, one.end_s) for one in lost if one.of == "book" and one.declared]
        empty = [minute for minute in empty if any(a < 60 * (minute + 1) and b >= 60 * minute for a, b in spans)]
    return len(empty) / len(whole) >= 0.001


def hour_lost(rows: dict[str, list[float]], lost: list[Outage]) -> bool:
    """Say whether a clock hour has frames in the spool and no row, or a stream has no frame in the run."""
    for of, needed, last_s in (("trade", 1, 0), ("book", 2, 1)):
        frames = [second for second in range(0, HOURS * HOUR_S, EVERY_S) if in_spool(of, second, lost)]
        if not any(FROM_S <= second < TO_S for second in frames):
            return True
        for hour in range(HOURS):
            start, end = max(FROM_S, hour * HOUR_S), min(TO_S, (hour + 1) * HOUR_S)
            there = [second for second in frames if start <= second + 0.001 < end - last_s]
            if len(there) >= needed and not any(start <= at < end for at in rows[of]):
                return True
    return False


@pytest.mark.parametrize("stream", ["aggTrade", "depth10@100ms", "depth20@100ms"])
def test_a_stream_asked_for_that_never_spoke_fails(tmp_path: Path, stream: str) -> None:
    """Also a stream that is recorded beside the one the book is taken from."""
    market = Market(symbols=(SYMBOL,), hours=1, tps=1)
    publish(tmp_path, market)
    paths = {"data_dir": tmp_path / "ofi_cvd", "spool_dir": tmp_path / "spool", "state_dir": tmp_path / "state"}
    streams = ("depth10@100ms", "depth20@100ms")
    for spoken in {"aggTrade", *streams} - {stream}:
        path = stream_path(tmp_path / "spool", START_MS, SYMBOL, spoken)
        path.write_text(json.dumps(frame("trade" if spoken == "aggTrade" else "book", spoken, 5)) + "\n", "utf-8")
    chosen = Settings(symbols=SYMBOL, book_streams=streams, **paths)
    window = Window(START_MS, market.end_ms, (SYMBOL,))
    gate = {gate.name: gate for gate in judge_window(window, chosen, charts=False).gates}["slices_complete"]
    if stream == "depth20@100ms":  # nothing but the spool tells of it
        assert (gate.verdict, gate.detail) == ("fail", f"{SYMBOL} {stream} not one frame in the run")
    else:  # rows prove that it spoke: the spool may be gone by now
        assert gate.verdict == "pass"
