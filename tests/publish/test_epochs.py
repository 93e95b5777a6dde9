"""A venue begins its ids anew: in the middle of an hour, after a silence, and in pieces of a spool that grows.

See docs/specification/trades.md#epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ofi_cvd.publish import checkpoint
from ofi_cvd.publish.run import build
from ofi_cvd.settings import Settings
from tests.datasets import frames_of, settings_for, tables_of
from tests.publish.pieces import Growing, Piece, assert_same_rows, hashes
from tests.spool_files import HOUR_MS, write_spool
from tests.strategies import Json

START_MS = 1_767_607_200_000  # 2026-01-05 10:00 UTC
STEP_MS = 20_000
PARAMS = {"BOOK_STREAMS": "depth10@100ms"}


def trade(at_ms: int, number: int, conn: str = "m1") -> Json:
    data: Json = {"a": number, "p": f"{100 + number % 7}.5", "q": "0.25", "T": at_ms, "m": number % 3 == 0}
    if conn != "rest":
        data |= {"e": "aggTrade", "E": at_ms + 2, "s": "BTCUSDT"}
    return {"recv_ns": (at_ms + 5) * 1_000_000, "conn": conn, "stream": "btcusdt@aggTrade", "data": data}


def book(at_ms: int, u: int) -> Json:
    levels = {"b": [["100.4", f"{1 + u % 5}.0"]], "a": [["100.6", f"{1 + u % 4}.0"]]}
    data = {"e": "depthUpdate", "E": at_ms + 2, "T": at_ms, "s": "BTCUSDT", "U": u, "u": u, "pu": u - 1, **levels}
    return {"recv_ns": (at_ms + 6) * 1_000_000, "conn": "m1", "stream": "btcusdt@depth10@100ms", "data": data}


def market(runs: Sequence[tuple[int, int, int]]) -> list[Json]:
    """Return frames of runs of (begin in ms, first id, count); a book update stands beside each trade."""
    frames = []
    for begin, first, count in runs:
        for i in range(count):
            at_ms = START_MS + begin + i * STEP_MS
            frames += [trade(at_ms, first + i), book(at_ms, 10 * first + i)]
    return frames


MID_HOUR = [(0, 1_000_000, 250), (250 * STEP_MS, 500, 200)]
AFTER_SILENCE = [(0, 1_000_000, 100), (2 * HOUR_MS + 600_000, 70_000, 250)]
TWICE = [(0, 1_000_000, 100), (100 * STEP_MS, 600_000, 100), (200 * STEP_MS, 5, 200)]
INTO_OLD_IDS = [(0, 1_000_000, 100), (100 * STEP_MS, 1_020_000, 100), (200 * STEP_MS, 1_000_050, 200)]
RUNS = pytest.mark.parametrize(
    "runs", [MID_HOUR, AFTER_SILENCE, TWICE, INTO_OLD_IDS], ids=["mid_hour", "after_silence", "twice", "into_old_ids"]
)


def built(root: Path, frames: Sequence[Json], ledger: Sequence[Json] = ()) -> Settings:
    settings = settings_for(root, PARAMS)
    write_spool(settings.spool_dir, frames, ledger)
    build(settings, workers=1)
    return settings


@RUNS
def test_ids_that_begin_anew_open_an_epoch(tmp_path: Path, runs: list[tuple[int, int, int]]) -> None:
    settings = built(tmp_path, market(runs))
    rows = tables_of(settings.data_dir)["prices"]
    wanted = [(START_MS + begin + i * STEP_MS, first + i) for begin, first, count in runs for i in range(count)]
    assert [(row["ts_ms"], row["agg_trade_id"]) for row in rows] == wanted
    cvd = tables_of(settings.data_dir)["cvd"]
    opens = [i for i in range(1, len(wanted)) if wanted[i][1] < wanted[i - 1][1]]
    epochs = [sum(at <= i for at in opens) for i in range(len(wanted))]
    assert [row["id_epoch"] for row in rows] == [row["id_epoch"] for row in cvd] == epochs
    assert [i for i, row in enumerate(rows) if row["gap_before"] is None] == opens
    assert all(rows[i]["suspect"] and not cvd[i]["cvd_complete"] for i in opens)


def test_the_book_breaks_where_its_ids_begin_anew(tmp_path: Path) -> None:
    rows = tables_of(built(tmp_path, market(MID_HOUR)).data_dir)["ofi"]
    begin_ms = START_MS + 250 * STEP_MS
    times = [row["ts_ms"] for row in rows]
    assert begin_ms not in times  # the first update has no predecessor
    assert len(times) == 450 - 2
    assert rows[times.index(begin_ms + STEP_MS)]["suspect"]


def test_repairs_join_the_epoch_of_their_time(tmp_path: Path) -> None:
    repaired = {START_MS + 200 * STEP_MS: 1_000_200, START_MS + 270 * STEP_MS: 520}
    lost = [trade(at_ms, number) for at_ms, number in repaired.items()]
    frames = [one for one in market(MID_HOUR) if one not in lost]
    repairs = [trade(at_ms, number, "rest") for at_ms, number in repaired.items()]
    rows = tables_of(built(tmp_path, [*frames, *repairs]).data_dir)["prices"]
    told = {row["agg_trade_id"]: (row["id_epoch"], row["gap_before"]) for row in rows}
    assert (told[1_000_200], told[520]) == ((0, 0), (1, 0))
    assert (told[1_000_201], told[521]) == ((0, 0), (1, 0))


@RUNS
@pytest.mark.parametrize("behind", [1, 49, 50, 60])
def test_builds_between_change_nothing(tmp_path: Path, runs: list[tuple[int, int, int]], behind: int) -> None:
    frames = market(runs)
    bounds, at = [], 0
    for _, _, count in runs[:-1]:
        at += count
        bounds += [2 * at - 3, 2 * (at + behind)]
    settings = settings_for(tmp_path / "cut", PARAMS)
    spool = Growing(settings.spool_dir)
    for start, end in zip([0, *bounds], [*bounds, len(frames)], strict=True):
        spool.add(Piece(frames[start:end]))
        build(settings, workers=1)
    whole = built(tmp_path / "whole", frames)
    assert_same_rows(settings, whole)
    assert hashes(settings.data_dir) == hashes(whole.data_dir)


def test_files_that_arrive_late_show_an_opening(tmp_path: Path) -> None:
    frames = market(AFTER_SILENCE)
    settings = built(tmp_path / "late", frames[200:])
    write_spool(settings.spool_dir, frames[:200])
    build(settings, workers=1)
    assert_same_rows(settings, built(tmp_path / "whole", frames))


def test_an_hour_is_not_final_before_it_is_decided(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, PARAMS)
    runs = [(0, 1_000_000, 170), (170 * STEP_MS, 500, 10)]
    later = [book(START_MS + HOUR_MS + 60_000 + i, 5_000 + i) for i in range(100)]
    write_spool(settings.spool_dir, [*market(runs), *later])
    build(settings, workers=1)
    found = checkpoint.load(settings.state_dir)
    assert found is not None
    assert not found.symbols["BTCUSDT"].hours[START_MS].final
    build(settings, workers=1)
    write_spool(settings.spool_dir, [trade(START_MS + HOUR_MS + 60_000 + i * 10, 510 + i) for i in range(60)])
    build(settings, workers=1)
    found = checkpoint.load(settings.state_dir)
    assert found is not None
    assert found.symbols["BTCUSDT"].hours[START_MS].final
    assert frames_of(settings.data_dir)["prices"]["id_epoch"].to_list() == [0] * 170 + [1] * 70
