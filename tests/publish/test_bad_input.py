"""Bad input: a clear sentence or a counted rejection, and nothing that was published is harmed.

See docs/specification/spool.md, docs/specification/trades.md, docs/specification/commands.md#exit-status.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ofi_cvd.errors import OfiCvdError, PublishError, RunError, SpoolError, UsageError
from ofi_cvd.publish.run import build
from ofi_cvd.publish.slices import Window
from ofi_cvd.publish.status import status
from ofi_cvd.settings import Settings
from ofi_cvd.spool.seal import seal_closed_hours
from tests.datasets import frames_of, settings_for
from tests.publish.pieces import hashes
from tests.spool_files import HOUR_MS, hour_folder, spool_line, write_spool
from tests.strategies import HOUR_END_MS, SMALL_PARAMS, BookStep, Json, Tape, TradeStep

ROOT = Path(__file__).parents[2]
SYMBOL = "BTCUSDT"
EARLY = Window(HOUR_END_MS - HOUR_MS, HOUR_END_MS)


def frames(count: int = 60, from_ms: int = HOUR_END_MS - 90_000, after: int = 0) -> list[Json]:
    """Return a steady market of some trades and book updates, behind `after` others."""
    ids = {"next_id": 500 + after, "u": 9_000 + 7 * after}
    tape = Tape(now_ms=from_ms, trade_stream="aggTrade", book_source="depth10@100ms", **ids)
    for i in range(count):
        tape.play(TradeStep(pause_ms=2_900, ticks=i % 3 - 1, lots=1 + i % 9, buy=i % 3 > 0, delay_ms=3))
        tape.play(BookStep(pause_ms=100, ticks=0, resized=((i % 10, 1 + i % 7),), delay_ms=3))
    return tape.frames


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    """Settings of a dataset that is published already."""
    found = settings_for(tmp_path, SMALL_PARAMS)
    write_spool(found.spool_dir, frames())
    build(found, workers=1)
    return found


def path_of(settings: Settings, stream: str = "aggTrade", ms: int = HOUR_END_MS + 1) -> Path:
    return hour_folder(settings.spool_dir, ms) / f"{SYMBOL}.{stream}.ndjson"


def append(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(data)


def trade(**changes: object) -> Json:
    """Return a good trade behind those of the spool, with changed fields; None takes a field away."""
    at = HOUR_END_MS + 200_000
    data: Json = {
        "e": "aggTrade",
        "E": at,
        "s": SYMBOL,
        "a": 900,
        "p": "100.1",
        "q": "1",
        "f": 1,
        "l": 1,
        "T": at,
        "m": True,
    }
    data = {key: value for key, value in (data | changes).items() if value is not None}
    return {"recv_ns": (at + 5) * 1_000_000, "conn": "m1", "stream": "btcusdt@aggTrade", "data": data}


def book(**changes: object) -> Json:
    """Return a good book update behind those of the spool, with changed fields."""
    at = HOUR_END_MS + 200_000
    sides: Json = {"b": [["100.0", "1"]] * 10, "a": [["100.2", "1"]] * 10}
    data: Json = {"e": "depthUpdate", "E": at, "T": at, "s": SYMBOL, "U": 1, "u": 99_000, "pu": 1} | sides
    data = {key: value for key, value in (data | changes).items() if value is not None}
    return {"recv_ns": (at + 5) * 1_000_000, "conn": "m1", "stream": "btcusdt@depth10@100ms", "data": data}


BAD_TRADES = {
    "price is NaN": trade(p="NaN"),
    "price is infinite": trade(p="1e999"),
    "price beyond any decimal": trade(p="9" * 60),
    "price is a word": trade(p="a lot"),
    "price is missing": trade(p=None),
    "price is renamed": trade(p=None, price="100.1"),
    "price is a list": trade(p=["100.1"]),
    "id is a word": trade(a="nine hundred"),
    "id is missing": trade(a=None),
    "time is missing": trade(T=None),
    "time of another century": trade(T=1),
    "side is missing": trade(m=None),
    "data is a list": {**trade(), "data": [1, 2]},
    "data is missing": {key: value for key, value in trade().items() if key != "data"},
    "receipt is missing": {key: value for key, value in trade().items() if key != "recv_ns"},
    "receipt is a word": {**trade(), "recv_ns": "now"},
}
BAD_BOOKS = {
    "price is NaN": book(b=[["NaN", "1"]] * 10),
    "quantity is a word": book(a=[["100.2", "much"]] * 10),
    "price is negative": book(b=[["-1", "1"]] * 10),
    "level without quantity": book(b=[["100.0"]] * 10),
    "side is missing": book(b=None),
    "side is a number": book(b=7),
    "id is missing": book(u=None),
    "levels are objects": book(b=[{"p": "100.0"}] * 10),
}


@pytest.mark.parametrize(
    ("stream", "frame"),
    [("aggTrade", frame) for frame in BAD_TRADES.values()] + [("depth10@100ms", frame) for frame in BAD_BOOKS.values()],
    ids=[*BAD_TRADES, *BAD_BOOKS],
)
def test_a_frame_that_cannot_be_read_is_counted(stream: str, frame: Json, chosen: Settings) -> None:
    """It changes no row that is there and adds none; `ofi status` counts it."""
    before = frames_of(chosen.data_dir)
    append(path_of(chosen, stream), json.dumps(frame).encode() + b"\n")
    build(chosen, workers=1)
    after = frames_of(chosen.data_dir)
    assert all(after[kind].equals(before[kind]) for kind in after)
    assert sum(status(chosen)[SYMBOL].refused.values()) == 1


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (trade(p="-5"), "price_not_positive"),
        (trade(p="0"), "price_not_positive"),
        (trade(q="0"), "qty_not_positive"),
        (trade(T=HOUR_END_MS + 202_000), "traded_after_push"),
    ],
)
def test_a_trade_that_is_not_admitted_is_counted(frame: Json, reason: str, chosen: Settings) -> None:
    """Readable, seen, and no row."""
    before = frames_of(chosen.data_dir)
    append(path_of(chosen), spool_line(frame).encode() + b"\n")
    build(chosen, workers=1)
    assert frames_of(chosen.data_dir)["prices"].equals(before["prices"])
    assert status(chosen)[SYMBOL].objections == {reason: 1}


NO_NUMBERS = {
    "not_a_number": ("1_000.5", "+1.5", " 1.5 ", "1e3", ".5", "5.", "", "0x10", "Infinity"),
    "too_many_decimals": ("100.123456789", "0.000000001"),
    "number_out_of_range": ("1" + "0" * 18, "9" * 60),
}


@pytest.mark.parametrize("fields", [["p", "q"], ["bid price", "bid qty", "ask qty"]], ids=["trade", "book"])
def test_what_is_no_plain_decimal_of_eight_places_is_counted_by_reason(fields: list[str], chosen: Settings) -> None:
    """A positive value below 1e-8 is not called "not positive", and nothing is rounded in silence."""
    before, good = frames_of(chosen.data_dir), ["100.0", "1"]
    for text in (text for texts in NO_NUMBERS.values() for text in texts):
        for field in fields:
            level = [text, "1"] if "price" in field else ["100.2", text]
            frame = trade(**{field: text}) if field in "pq" else book(**{field[0]: [good, level] + [good] * 8})
            stream = "aggTrade" if field in "pq" else "depth10@100ms"
            append(path_of(chosen, stream), json.dumps(frame).encode() + b"\n")
    build(chosen, workers=1)
    assert status(chosen)[SYMBOL].refused == {why: len(texts) * len(fields) for why, texts in NO_NUMBERS.items()}
    assert all(frame.equals(before[kind]) for kind, frame in frames_of(chosen.data_dir).items())


def test_zeros_behind_the_eighth_decimal_are_exact(chosen: Settings) -> None:
    """They change nothing, so the trade stands."""
    append(path_of(chosen), spool_line(trade(p="100.12345678000", q="0.00000001")).encode() + b"\n")
    build(chosen, workers=1)
    last = frames_of(chosen.data_dir)["prices"].row(-1, named=True)
    assert (last["price"], last["qty"], status(chosen)[SYMBOL].refused) == (100.12345678, 1e-8, {})


def test_extra_fields_are_no_fault(chosen: Settings) -> None:
    """The exchange adds fields without notice."""
    append(path_of(chosen), spool_line(trade(nq="0.1", st=1, novel={"deep": [1]})).encode() + b"\n")
    build(chosen, workers=1)
    assert frames_of(chosen.data_dir)["prices"]["agg_trade_id"].to_list()[-1] == 900
    assert status(chosen)[SYMBOL].refused == {}


GARBAGE = {
    "binary": bytes(range(256)) * 40,
    "nothing but newlines": b"\n" * 1000,
    "nothing but zeros": b"\0" * 100_000,
    "half a line": spool_line(trade()).encode()[:60] + b"\n",
    "arrays": b"[1,2,3]\n" * 3,
    "a bare number": b"17\n",
    "deep nesting": b'{"recv_ns":1,"data":' + b"[" * 5_000 + b"\n",
    "a key twice": b'{"recv_ns":1,"recv_ns":2,"conn":"m1","data":{}}\n',
    "not UTF-8": b'{"recv_ns":1,"conn":"\xff\xfe","data":{"p":"\xc3\x28"}}\n',
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=list(GARBAGE))
@pytest.mark.parametrize("stream", ["aggTrade", "depth10@100ms"])
def test_garbage_between_good_lines(stream: str, garbage: bytes, chosen: Settings) -> None:
    """The good lines before and behind it count, whatever stands between."""
    before = frames_of(chosen.data_dir)
    good = trade() if stream == "aggTrade" else book()
    append(path_of(chosen, stream), garbage + b"\n" + spool_line(good).encode() + b"\n")
    build(chosen, workers=1)
    after = frames_of(chosen.data_dir)
    if stream == "aggTrade":
        assert after["prices"].height == before["prices"].height + 1
        assert after["prices"].head(-1).equals(before["prices"])
    else:
        assert after["ofi"].equals(before["ofi"])  # the first update after a break
    if garbage.strip(b"\n"):
        assert sum(status(chosen)[SYMBOL].refused.values()) >= 1


def test_a_line_of_fifty_megabytes(chosen: Settings) -> None:
    """It is left out and counted; the lines around it are read."""
    before = frames_of(chosen.data_dir)["prices"].height
    data = spool_line(trade(a=901, huge="x" * 50_000_000)).encode() + b"\n" + spool_line(trade()).encode() + b"\n"
    append(path_of(chosen), data)
    build(chosen, workers=1)
    assert frames_of(chosen.data_dir)["prices"].height == before + 1
    assert status(chosen)[SYMBOL].refused == {"oversize": 1}


def test_an_empty_file(tmp_path: Path, chosen: Settings) -> None:
    """No lines, no rows, no fault: beside others and alone."""
    before = hashes(chosen.data_dir)
    append(path_of(chosen, ms=HOUR_END_MS + 3 * HOUR_MS), b"")
    build(chosen, workers=1)
    assert hashes(chosen.data_dir) == before
    alone = settings_for(tmp_path / "alone", SMALL_PARAMS)
    append(path_of(alone), b"")
    build(alone, workers=1)
    assert hashes(alone.data_dir) == {}


def test_a_spool_without_the_symbols(tmp_path: Path) -> None:
    """Nothing to build is wrong usage: the sentence names streams, symbols and folder."""
    with pytest.raises(UsageError, match=r"expected aggTrade or depth10@100ms of BTCUSDT below .*, found nothing"):
        build(settings_for(tmp_path, SMALL_PARAMS), workers=1)


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: b"", lambda data: b"gone" + data[4:]])
def test_a_damaged_sealed_file(damage: Callable[[bytes], bytes], chosen: Settings) -> None:
    """The file is named, what is published stays; once the file is whole again everything is built."""
    seal_closed_hours(chosen.spool_dir, HOUR_END_MS + 3 * HOUR_MS)
    sealed = path_of(chosen).with_name(path_of(chosen).name + ".zst")
    whole = sealed.read_bytes()
    before = hashes(chosen.data_dir)
    sealed.write_bytes(damage(whole))
    write_spool(chosen.spool_dir, [trade()])
    with pytest.raises(SpoolError, match=sealed.name):
        build(chosen, workers=1)
    assert hashes(chosen.data_dir) == before
    sealed.write_bytes(whole)
    build(chosen, workers=1)
    assert frames_of(chosen.data_dir)["prices"]["agg_trade_id"].to_list()[-1] == 900


def test_a_name_that_leads_out_of_the_folder(tmp_path: Path) -> None:
    """Only a symbol becomes part of a path; files of other names in the spool are no symbols."""
    with pytest.raises(UsageError, match=r"SYMBOLS.*\.\./\.\./etc"):
        settings_for(tmp_path, SMALL_PARAMS, "../../etc")
    chosen = settings_for(tmp_path, SMALL_PARAMS)
    strange = {**trade(), "stream": "../../etc@aggTrade", "data": {**BASE, "s": "../../etc"}}
    write_spool(chosen.spool_dir, frames())
    append(path_of(chosen), json.dumps(strange).encode() + b"\n")
    folder = path_of(chosen).parent
    (folder / "..aggTrade.ndjson").write_bytes(b"{}\n")
    (folder / "etc passwd.aggTrade.ndjson").write_bytes(b"{}\n")
    build(chosen, workers=1)
    assert {path.parts[1] for path in map(Path, hashes(chosen.data_dir))} == {"symbol=BTCUSDT"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "spool", "state"]


BASE = trade()["data"]
assert isinstance(BASE, dict)

NOBODY = 65_534


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Be a user like any other: root may write anywhere."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of folders are POSIX's")
@pytest.mark.parametrize("which", ["data_dir", "state_dir"])
def test_a_folder_that_may_not_be_written(which: str) -> None:
    """The folder is named in one sentence."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        chosen = settings_for(root, SMALL_PARAMS)
        write_spool(chosen.spool_dir, frames())
        build(chosen, workers=1)
        before = hashes(chosen.data_dir)
        write_spool(chosen.spool_dir, frames(from_ms=HOUR_END_MS + 200_000, after=60))
        locked = getattr(chosen, which)
        for path in [root, *root.rglob("*")]:
            path.chmod(0o555 if path.is_relative_to(locked) else 0o777)
        with without_privileges(), pytest.raises(OfiCvdError, match=str(locked)):
            build(chosen, workers=1)
        assert hashes(chosen.data_dir) == before
        for path in root.rglob("*"):
            path.chmod(0o777)


@pytest.mark.parametrize("which", ["data_dir", "state_dir"])
def test_a_file_where_a_folder_should_be(which: str, tmp_path: Path) -> None:
    """The path is named in one sentence."""
    chosen = settings_for(tmp_path, SMALL_PARAMS)
    write_spool(chosen.spool_dir, frames())
    getattr(chosen, which).write_bytes(b"")
    with pytest.raises(OfiCvdError, match=str(getattr(chosen, which))):
        build(chosen, workers=1)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Let the disk be full from the n-th fsync on, until 0 is asked for."""
    fsync, count, limit = os.fsync, 0, 0

    def refusing(fd: int) -> None:
        nonlocal count
        count += 1
        if limit and count >= limit:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(fd)

    def full_from(touch: int) -> None:
        nonlocal count, limit
        count, limit = 0, touch

    monkeypatch.setattr(os, "fsync", refusing)
    yield full_from
    full_from(0)


@pytest.mark.parametrize("touch", range(1, 40, 4))
def test_a_full_disk(touch: int, chosen: Settings, full_disk: Callable[[int], None]) -> None:
    """One sentence; every file is an old or a new one, whole; with space again the build ends as if nothing had been."""
    old = hashes(chosen.data_dir)
    more = frames(from_ms=HOUR_END_MS + 200_000, count=1_200, after=60)
    write_spool(chosen.spool_dir, more)
    full_disk(touch)
    try:
        build(chosen, workers=1)
    except PublishError as error:
        assert os.strerror(errno.ENOSPC) in str(error)  # noqa: PT017  # late touches may find nothing left to write
    full_disk(0)
    now = hashes(chosen.data_dir)
    build(chosen, workers=1)
    new = hashes(chosen.data_dir)
    assert now.keys() <= new.keys()
    assert all(digest in {old.get(name), new[name]} for name, digest in now.items())
    whole = settings_for(chosen.spool_dir.parent / "whole", SMALL_PARAMS)
    write_spool(whole.spool_dir, [*frames(), *more])
    build(whole, workers=1)
    assert new == hashes(whole.data_dir)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99}', "\0\0\0"])
def test_a_checkpoint_that_cannot_be_read(text: str, chosen: Settings) -> None:
    """The sentence says that it may be deleted; deleting it costs time, never rows."""
    before = hashes(chosen.data_dir)
    checkpoint = chosen.state_dir / "checkpoint.json"
    checkpoint.write_text(text, "utf-8")
    with pytest.raises(RunError, match=r"checkpoint\.json: expected a checkpoint.*delete it and build again"):
        build(chosen, workers=1)
    assert hashes(chosen.data_dir) == before
    checkpoint.unlink()
    build(chosen, workers=1)
    assert hashes(chosen.data_dir) == before


@pytest.mark.parametrize("damage", ["missing", "garbage", "of another hour"])
def test_a_state_that_was_lost_is_computed_again(damage: str, chosen: Settings) -> None:
    """The hour before is built again, and its rows are as they were."""
    first, *_ = states = sorted((chosen.state_dir / SYMBOL).glob("*.parquet"))
    if damage == "missing":
        first.unlink()
    else:
        first.write_bytes(b"PAR1" if damage == "garbage" else states[-1].read_bytes())
    write_spool(chosen.spool_dir, [trade()])
    build(chosen, workers=1)
    whole = settings_for(chosen.spool_dir.parent / "whole", SMALL_PARAMS)
    write_spool(whole.spool_dir, [*frames(), trade()])
    build(whole, workers=1)
    assert hashes(chosen.data_dir) == hashes(whole.data_dir)


def test_a_spool_file_that_is_gone(chosen: Settings) -> None:
    """An hour that cannot be built again is not replaced by an empty one."""
    before = hashes(chosen.data_dir)
    path_of(chosen, ms=HOUR_END_MS - 1).unlink()
    with pytest.raises(SpoolError, match=r"BTCUSDT\.aggTrade\.ndjson: expected the file that a published hour"):
        build(chosen, workers=1, rebuild=True, window=EARLY)
    assert hashes(chosen.data_dir) == before
    write_spool(chosen.spool_dir, [trade()])
    build(chosen, workers=1)  # hours that do not need it go on
    assert frames_of(chosen.data_dir)["prices"]["agg_trade_id"].to_list()[-1] == 900


def test_the_command_says_one_sentence(chosen: Settings) -> None:
    """On stderr, without a traceback, with the exit status of its kind."""
    (chosen.state_dir / "checkpoint.json").write_text("garbage", "utf-8")
    folders = {"--spool-dir": chosen.spool_dir, "--data-dir": chosen.data_dir, "--state-dir": chosen.state_dir}
    options = [str(word) for pair in folders.items() for word in pair]
    for symbols, code in (("BTCUSDT", 1), ("../../etc", 2), ("ETHUSDT", 1)):
        words = [sys.executable, "-m", "ofi_cvd", "build", "--symbols", symbols, *options]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert done.stdout == ""
        assert done.stderr.startswith("ofi: ")
        assert done.stderr.count("\n") == 1
