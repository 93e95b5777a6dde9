"""What once left an hour stale, or a build without an end."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofi_cvd.publish.run import BuildReport, build
from tests.datasets import settings_for
from tests.fuzz.restatement import run, sequence
from tests.publish.pieces import hashes
from tests.publish.test_restatement import Place, as_repair, market, recv_ns, trades
from tests.spool_files import HOUR_MS, hour_folder, write_spool
from tests.strategies import HOUR_END_MS, SMALL_PARAMS, BookStep, Json, Tape, TradeStep


def gap_of(frames: list[Json], start: int, stop: int, *, has_ids: bool) -> Json:
    """Return the ledger's word for trades `[start, stop)` of some frames."""
    all_trades = trades(frames)
    before, after = all_trades[start - 1], all_trades[stop]
    ids = [int(trade["data"]["a"]) for trade in (before, after)]  # type: ignore[index]
    return {
        "recv_ns": recv_ns(after),
        "event": "gap",
        "symbol": "BTCUSDT",
        "stream": "btcusdt@aggTrade",
        "conn": "m1",
        "expected": ids[0] + 1 if has_ids else None,
        "received": ids[1] if has_ids else None,
        "start_ms": recv_ns(before) // 1_000_000,
        "end_ms": recv_ns(after) // 1_000_000,
    }


@pytest.mark.parametrize("has_ids", [True, False])
@pytest.mark.parametrize("order", [1, -1])
def test_an_outage_over_an_end_of_hour_repaired_in_pieces(has_ids: bool, order: int, tmp_path: Path) -> None:
    """A build between the pieces: the last piece closes the outage for the hours on both sides."""
    full = market(3)
    at = next(i for i, trade in enumerate(trades(full.frames)) if recv_ns(trade) // 1_000_000 >= HOUR_END_MS + HOUR_MS)
    lost = trades(full.frames)[at - 8 : at + 8]
    repairs = [as_repair(trade, recv_ns(full.frames[-1]) + i) for i, trade in enumerate(lost)][::order]
    before = [frame for frame in full.frames if frame not in lost]
    gap = gap_of(full.frames, at - 8, at + 8, has_ids=has_ids)
    place = Place(tmp_path, full.params)
    place.publish(before, [gap])
    place.publish(repairs[:8])
    place.publish(repairs[8:])
    place.assert_as_built_once([*before, *repairs], [gap])


def test_a_gap_without_ids_before_hours_without_trades(tmp_path: Path) -> None:
    """That ids are missing is known hours later; a build from nothing knows it as well."""
    full = market(5)
    start = next(
        i for i, trade in enumerate(trades(full.frames)) if recv_ns(trade) // 1_000_000 >= HOUR_END_MS + HOUR_MS // 2
    )
    stop = next(
        i for i, trade in enumerate(trades(full.frames)) if recv_ns(trade) // 1_000_000 >= HOUR_END_MS + 3 * HOUR_MS
    )
    lost = trades(full.frames)[start:stop]
    before = [frame for frame in full.frames if frame not in lost]
    gap = gap_of(full.frames, start, stop, has_ids=False) | {"end_ms": recv_ns(lost[0]) // 1_000_000}
    place = Place(tmp_path, full.params)
    place.publish([frame for frame in before if recv_ns(frame) < recv_ns(lost[-1])], [gap])
    place.publish([frame for frame in before if recv_ns(frame) >= recv_ns(lost[-1])])
    place.assert_as_built_once(before, [gap])
    found = hashes(place.found.data_dir)
    build(place.found, workers=1, rebuild=True)
    assert hashes(place.found.data_dir) == found


@pytest.mark.parametrize("builds_between", [True, False])
def test_two_quotes_of_one_id_on_both_sides_of_an_end_of_hour(builds_between: bool, tmp_path: Path) -> None:
    """The build ends, and each quote lies in the hour of its own time; a repetition of the first is none of the second hour."""
    tape = Tape(now_ms=HOUR_END_MS - 3_000, trade_stream="aggTrade", book_source="bookTicker")
    for lots in range(1, 9):
        if lots == 4:
            tape.u -= 7
        tape.play(BookStep(pause_ms=900, ticks=0, resized=((0, lots), (1, lots + 1)), delay_ms=5))
        tape.play(TradeStep(pause_ms=30, ticks=0, lots=lots, buy=True, delay_ms=5))
    quotes = [frame for frame in tape.frames if str(frame["stream"]).endswith("bookTicker")]
    assert quotes[2]["data"]["u"] == quotes[3]["data"]["u"]  # type: ignore[index]
    assert quotes[2]["data"]["T"] < HOUR_END_MS <= quotes[3]["data"]["T"]  # type: ignore[index]
    again = {**quotes[2], "conn": "m2", "recv_ns": recv_ns(tape.frames[-1]) + 1}
    params = dict(SMALL_PARAMS) | {"BOOK_SOURCE": "bookTicker", "BOOK_STREAMS": "bookTicker"}
    place = Place(tmp_path, params)
    if builds_between:
        place.publish([frame for frame in tape.frames if recv_ns(frame) // 1_000_000 < HOUR_END_MS])
        place.publish([frame for frame in tape.frames if recv_ns(frame) // 1_000_000 >= HOUR_END_MS])
        place.publish([again])
    else:
        place.publish([*tape.frames, again])
    place.assert_as_built_once([*tape.frames, again])
    assert build(place.found, workers=1) == BuildReport()


@pytest.mark.parametrize("keeps", [1, 3, 40])
def test_deleted_slices_come_back_although_the_first_is_there(keeps: int, tmp_path: Path) -> None:
    """The first slice has the name of the whole hour's part and is none."""
    full = market(2)
    chosen = settings_for(tmp_path, full.params)
    write_spool(chosen.spool_dir, full.frames)
    build(chosen, workers=1, slice_secs=60)
    before = hashes(chosen.data_dir)
    for folder in chosen.data_dir.rglob("kind=*"):
        for path in sorted(folder.glob("part-*.parquet"))[keeps:]:
            path.unlink()
    build(chosen, workers=1, slice_secs=60)
    assert hashes(chosen.data_dir) == before


def test_a_ledger_line_nested_without_end(tmp_path: Path) -> None:
    """It is left out like any line that is no record."""
    full = market(1)
    chosen, wanted = (settings_for(tmp_path / name, full.params) for name in ("chosen", "wanted"))
    for one in (chosen, wanted):
        write_spool(one.spool_dir, full.frames)
    path = hour_folder(chosen.spool_dir, HOUR_END_MS + 1) / "_ledger.ndjson"
    path.write_bytes(b'{"event":"gap","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n" + b'{"a":' * 50_000 + b"\n")
    for one in (chosen, wanted):
        build(one, workers=1)
    assert hashes(chosen.data_dir) == hashes(wanted.data_dir)


@pytest.mark.parametrize("seed", range(5_000, 5_008))
def test_a_part_of_the_random_search(seed: int, tmp_path: Path) -> None:
    """A failure is seen again by `python -m tests.fuzz.restatement --count 1 --seed <seed>`."""
    run(sequence(seed), tmp_path)
