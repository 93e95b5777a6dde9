"""A random search over restatements: whatever arrives late and in whatever order, builds in between change no byte.

    python -m tests.fuzz.restatement --count 1000 --seed 0

Each sequence is a market of hours with long outages (of either stream, with and without ids, over ends of hours), silent
hours, ids with several quotes and late rows. It arrives in pieces in any order, with builds, lost parts, lost states and
rebuilds in between. In the end the dataset must be that of one build of the final spool, byte for byte.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ofi_cvd.publish.run import BuildReport, build
from ofi_cvd.publish.slices import Window
from ofi_cvd.settings import Settings
from tests.datasets import settings_for
from tests.publish.pieces import hashes
from tests.spool_files import write_spool
from tests.strategies import HOUR_END_MS, SMALL_PARAMS, BookStep, Json, Tape, TradeStep

HOUR_MS: Final = 3_600_000
SLICES: Final = (3600, 1800, 600)


@dataclass
class Sequence:
    """What happens: pieces of a spool in the order they arrive, and what is done after each."""

    seed: int
    slice_secs: int = 3600
    pieces: list[tuple[list[Json], list[Json]]] = field(default_factory=list)
    turns: list[str] = field(default_factory=list)
    params: dict[str, object] = field(default_factory=dict)


def sequence(seed: int) -> Sequence:
    """Return the sequence of a seed."""
    rng = random.Random(seed)  # a search, not a secret
    source = rng.choice(("depth10@100ms", "depth10@100ms", "bookTicker"))
    frames = _market(rng, source)
    last_ns = _recv_ns(frames[-1])
    withheld: list[list[Json]] = []
    ledger: list[tuple[int, Json]] = []
    for _ in range(rng.randint(1, 3)):
        frames, lost, gap = _outage(rng, frames, source)
        ledger += [(_recv_ns(gap), gap)] if gap else []
        withheld += _pieces_of(rng, lost, last_ns)
    chunks = _chunks(rng, frames)
    pieces: list[tuple[list[Json], list[Json]]] = [(chunk, []) for chunk in chunks]
    for extra in withheld:
        pieces.insert(rng.randint(1, len(pieces)), (extra, []))
    for when_ns, gap in ledger:
        at = rng.randrange(len(pieces)) if rng.random() < 0.3 else _chunk_at(pieces, when_ns)
        pieces[at][1].append(gap)
    turns = rng.choices(
        ("batch", "live", "none", "lost parts", "lost state", "rebuild", "window"), (6, 3, 3, 1, 1, 1, 1), k=len(pieces)
    )
    params = dict(SMALL_PARAMS) | {"WIN_SECS": rng.choice((60, 300, 900)), "DIV_MAX_SECS": rng.choice((300, 1800))}
    params |= {"BOOK_SOURCE": source, "BOOK_STREAMS": source, "Z_WIN_SECS": 900, "PIVOT_SPAN_SECS": 60}
    return Sequence(seed, rng.choice(SLICES), pieces, turns, params)


def run(found: Sequence, root: Path) -> None:
    """Let a sequence happen and compare with one build of its spool.

    Raises:
        AssertionError: a byte differs, or a further build finds something to do.
    """
    rng = random.Random(found.seed)
    chosen, wanted = (settings_for(root / name, found.params) for name in ("found", "wanted"))
    for (frames, ledger), turn in zip(found.pieces, found.turns, strict=True):
        write_spool(chosen.spool_dir, frames, ledger)
        write_spool(wanted.spool_dir, frames, ledger)
        if any(chosen.spool_dir.rglob("BTCUSDT.*")):
            _take(turn, chosen, found.slice_secs, rng)
    build(chosen, workers=1, slice_secs=found.slice_secs)
    build(wanted, workers=1, slice_secs=found.slice_secs)
    assert hashes(chosen.data_dir) == hashes(wanted.data_dir)
    assert build(chosen, workers=1, slice_secs=found.slice_secs) == BuildReport()


def _take(turn: str, chosen: Settings, slice_secs: int, rng: random.Random) -> None:
    if turn == "none":
        return
    window = Window()
    if turn == "lost parts":
        for path in sorted(chosen.data_dir.rglob("*.parquet")):
            if rng.random() < 0.3:
                path.unlink()
    if turn == "lost state":
        shutil.rmtree(chosen.state_dir, ignore_errors=True)
    if turn == "window":
        start_ms = HOUR_END_MS + rng.randint(-1, 3) * HOUR_MS
        window = Window(start_ms, start_ms + HOUR_MS)
    build(chosen, workers=1, slice_secs=slice_secs, live=turn == "live", rebuild=turn == "rebuild", window=window)


def _market(rng: random.Random, source: str) -> list[Json]:
    """Return the frames of some hours, in the order of their receipt."""
    start_ms = HOUR_END_MS - rng.randint(1, 3600) * 1000
    tape = Tape(now_ms=start_ms, trade_stream="aggTrade", book_source=source)
    until_ms = start_ms + round(rng.uniform(1.2, 4.5) * HOUR_MS)
    while tape.now_ms < until_ms:
        pause_ms = rng.choice((500, 30_000, 120_000, 300_000, 300_000, 900_000))
        if rng.random() < 0.02:
            pause_ms += rng.randint(1, 2) * HOUR_MS
        if rng.random() < 0.5:
            fault = rng.choice(("", "", "", "", "zero_qty", "back_in_time", "late"))
            lots = rng.randint(1, 31)
            tape.play(
                TradeStep(
                    pause_ms=pause_ms,
                    ticks=rng.randint(-3, 3),
                    lots=lots,
                    buy=rng.random() < 0.5,
                    delay_ms=20,
                    fault=fault,
                )
            )
        else:
            resized = ((rng.randrange(10), rng.randint(1, 31)),)
            tape.play(BookStep(pause_ms=pause_ms, ticks=rng.randint(-3, 3), resized=resized, delay_ms=20))
            if source == "bookTicker" and rng.random() < 0.3:
                tape.u -= 7  # a second quote of the same id, with other sizes
                step_ms = rng.choice((1, 400, HOUR_MS - tape.now_ms % HOUR_MS))
                tape.play(
                    BookStep(pause_ms=step_ms, ticks=0, resized=((rng.randrange(2), rng.randint(32, 60)),), delay_ms=20)
                )
    return sorted(tape.frames, key=_recv_ns)


def _outage(rng: random.Random, frames: list[Json], source: str) -> tuple[list[Json], list[Json], Json | None]:
    """Take a time out of one stream, or single rows; return what is left, what is lost, and what the ledger says."""
    stream = rng.choice(("aggTrade", "aggTrade", source))
    of_stream = [frame for frame in frames if str(frame["stream"]).endswith("@" + stream)]
    if len(of_stream) < 4:
        return frames, [], None
    start = rng.randint(1, len(of_stream) - 2)
    stop = min(len(of_stream) - 1, start + rng.choice((1, 2, 5, 10, 40)))
    lost = of_stream[start:stop]
    gone = {id(frame) for frame in lost}
    left = [frame for frame in frames if id(frame) not in gone]
    if rng.random() < 0.25:
        return left, lost, None  # rows that come late, without a word in the ledger
    before, after = of_stream[start - 1], of_stream[stop]
    expected, received = _id(before) + 1, _id(after)
    has_ids = stream == "aggTrade" and rng.random() < 0.5
    gap: Json = {
        "recv_ns": _recv_ns(after),
        "event": "gap",
        "symbol": "BTCUSDT",
        "stream": f"btcusdt@{stream}",
        "conn": "m1",
    }
    gap |= {"expected": expected if has_ids else None, "received": received if has_ids else None}
    return left, lost, gap | {"start_ms": _recv_ns(before) // 1_000_000, "end_ms": _recv_ns(after) // 1_000_000}


def _pieces_of(rng: random.Random, lost: list[Json], last_ns: int) -> list[list[Json]]:
    """Return what comes later of lost frames: parts of them, as repairs or as frames received late, in any order."""
    pieces: list[list[Json]] = [[] for _ in range(rng.randint(1, 3))]
    share = rng.choice((0.0, 0.7, 1.0, 1.0))
    for i, frame in enumerate(lost):
        if rng.random() >= share:
            continue
        is_trade = str(frame["stream"]).endswith("aggTrade")
        late: Json = (
            {**frame, "recv_ns": last_ns - rng.randint(0, HOUR_MS) * 1_000_000 + i} if rng.random() < 0.5 else frame
        )
        rng.choice(pieces).append(_as_repair(frame, last_ns + i) if is_trade and rng.random() < 0.6 else late)
    return [piece for piece in pieces if piece]


def _as_repair(frame: Json, recv_ns: int) -> Json:
    data = frame["data"]
    assert isinstance(data, dict)
    kept = {key: data[key] for key in ("a", "p", "q", "f", "l", "T", "m")}
    return {"recv_ns": recv_ns, "conn": "rest", "stream": frame["stream"], "data": kept}


def _chunks(rng: random.Random, frames: list[Json]) -> list[list[Json]]:
    places = sorted(rng.randrange(len(frames) + 1) for _ in range(rng.randint(0, 3)))
    bounds = [0, *places, len(frames)]
    return [frames[a:b] for a, b in itertools.pairwise(bounds) if b > a]


def _chunk_at(pieces: list[tuple[list[Json], list[Json]]], when_ns: int) -> int:
    found = [i for i, (frames, _) in enumerate(pieces) if frames and _recv_ns(frames[-1]) >= when_ns]
    return found[0] if found else len(pieces) - 1


def _id(frame: Json) -> int:
    data = frame["data"]
    assert isinstance(data, dict)
    return int(data.get("u", data.get("a", 0)))


def _recv_ns(record: Json) -> int:
    return int(str(record["recv_ns"]))


def main() -> int:
    """Search; print each seed that fails and the command that shows it again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    asked = parser.parse_args()
    failed = 0
    for seed in range(asked.seed, asked.seed + asked.count):
        with tempfile.TemporaryDirectory(prefix="ofi-fuzz-") as folder:
            try:
                run(sequence(seed), Path(folder))
            except Exception as error:  # noqa: BLE001  # whatever it is, the seed is what is wanted
                failed += 1
                print(f"seed {seed}: {type(error).__name__}: {str(error)[:300]}")
                print(f"  python -m tests.fuzz.restatement --seed {seed} --count 1", flush=True)
        if (seed - asked.seed + 1) % 100 == 0:
            print(f"{seed - asked.seed + 1} sequences, {failed} failed", flush=True)
    print(f"{asked.count} sequences from seed {asked.seed}, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
