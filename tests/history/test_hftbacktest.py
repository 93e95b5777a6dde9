"""Importing captures: every message to its file, verbatim, once; bad input named and counted."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import InputError, SpoolError
from ofi_cvd.history import capture, hftbacktest, merge
from ofi_cvd.history.hftbacktest import ImportReport, import_hftbacktest
from ofi_cvd.spool import appender
from ofi_cvd.spool.layout import list_files
from ofi_cvd.spool.reader import read_lines
from ofi_cvd.spool.seal import GRACE_MS, seal_closed_hours

HOUR = 1_721_347_200_000
DATA = Path("../shared/data")
RAW = DATA / "raw"
REAL = pytest.mark.skipif(not RAW.is_dir(), reason="the real captures are not beside this checkout")


def trade(number: int, symbol: str = "btcusdt", stream: str = "trade") -> bytes:
    recv_ns = HOUR * 10**6 + number
    return b'%d {"stream":"%b@%b","data":{"t":%d}}' % (recv_ns, symbol.encode(), stream.encode(), number)


def write(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def content(root: Path) -> dict[str, list[bytes]]:
    files = list_files(root)
    return {f"{file.hour_ms}/{file.name}": list(read_lines(file)) for file in files}


def balance(report: ImportReport) -> int:
    return sum(counter.total() for counter in (report.added, report.present, report.skipped, report.rejected))


REAL_IMPORTS = [
    (["btcusdt_20240718.gz", "btcusdt_20240719.gz"], 71_984),
    (["ethusdt_20240718.gz", "ethusdt_20240719.gz"], 69_913),
    (["usdm_4symbols_20210722_aggTrade.gz"], 1_535),
]


@REAL
@pytest.mark.parametrize(("names", "messages"), REAL_IMPORTS, ids=["btc", "eth", "four-symbols"])
def test_a_real_capture_arrives_whole_and_verbatim(tmp_path: Path, names: list[str], messages: int) -> None:
    """Counted and cut apart again with nothing but regular expressions."""
    expected: Counter[str] = Counter()
    texts: list[bytes] = []
    for name in names:
        for line in gzip.decompress((RAW / name).read_bytes()).splitlines():
            local, _, text = line.partition(b" ")
            match = re.match(rb'\{"stream":"([a-z]+)@(\w+)', text)
            kind = match[2].decode() if match else "snapshot"
            expected[kind] += 1
            if kind in {"aggTrade", "trade", "bookTicker"}:
                recv_ns = int(local) * (1000 if len(local) == 16 else 1)
                texts.append(b'{"recv_ns":%d,"conn":"import",%b' % (recv_ns, text[1:]))
    report = import_hftbacktest([RAW / name for name in names], tmp_path)
    assert report.lines == balance(report) == messages == expected.total()
    assert report.rejected.total() == 0
    assert report.faults == []
    assert report.skipped.total() == expected["depth"] + expected["kline_1m"]
    streams = Counter({stream: 0 for _, stream in report.added})
    for (_, stream), count in report.added.items():
        streams[stream] += count
    assert streams["depthSnapshot"] == expected["snapshot"]
    assert {s: n for s, n in streams.items() if s != "depthSnapshot"} == {
        kind: count for kind, count in expected.items() if kind in {"aggTrade", "trade", "bookTicker"}
    }
    spooled = [line for name, lines in content(tmp_path).items() if "Snapshot" not in name for line in lines]
    assert sorted(spooled) == sorted(texts)


@REAL
def test_real_messages_lie_in_the_hour_of_their_receipt(tmp_path: Path) -> None:
    files = sorted(DATA.glob("derived/*.gz")) + [RAW / name for names, _ in REAL_IMPORTS for name in names]
    report = import_hftbacktest(files, tmp_path)
    hours = {file.hour_ms for file in list_files(tmp_path)}
    assert hours == {HOUR - HOUR_MS, HOUR, 1_626_991_200_000}
    for file in list_files(tmp_path):
        for line in read_lines(file):
            row = json.loads(line)
            assert row["recv_ns"] // 10**6 // HOUR_MS * HOUR_MS == file.hour_ms
            assert row["stream"] == f"{file.symbol.lower()}@{file.stream}"
            assert row["conn"] == "import"
    assert {(file.symbol, file.stream) for file in list_files(tmp_path)} == set(report.added)


def test_a_snapshot_goes_to_the_one_symbol_of_its_file(tmp_path: Path) -> None:
    snapshot = b'{"lastUpdateId": 5,"E":1,"bids":[["1","2"]],"asks":[]}'
    source = write(tmp_path / "one.txt", [b"%d %b" % (HOUR * 10**6, snapshot), trade(1), trade(2, stream="depth@0ms")])
    report = import_hftbacktest([source], tmp_path / "spool")
    (line,) = content(tmp_path / "spool")[f"{HOUR}/BTCUSDT.depthSnapshot.ndjson"]
    head = b'{"recv_ns":%d,"conn":"import","stream":"btcusdt@depthSnapshot","data":' % (HOUR * 10**6)
    assert line == head + snapshot + b"}"
    assert report.lines == balance(report) == 3
    assert import_hftbacktest([source], tmp_path / "spool").added.total() == 0


def test_a_snapshot_among_several_symbols_belongs_to_nobody(tmp_path: Path) -> None:
    source = write(tmp_path / "two.txt", [trade(1), trade(2, "ethusdt"), b'%d {"lastUpdateId":5}' % (HOUR * 10**6)])
    report = import_hftbacktest([source], tmp_path / "spool")
    assert report.rejected == {"snapshot of an unknown symbol": 1}
    assert report.lines == balance(report)


def test_importing_again_adds_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "a.txt", [trade(n) for n in range(50)])
    first = import_hftbacktest([source], tmp_path / "spool")
    before = content(tmp_path / "spool")
    second = import_hftbacktest([source, source], tmp_path / "spool")
    assert first.added == {("BTCUSDT", "trade"): 50}
    assert (second.added.total(), second.present) == (0, {("BTCUSDT", "trade"): 100})
    assert content(tmp_path / "spool") == before


def test_importing_again_adds_nothing_after_a_seal(tmp_path: Path) -> None:
    source = write(tmp_path / "a.txt", [trade(n) for n in range(5)])
    import_hftbacktest([source], tmp_path / "spool")
    seal_closed_hours(tmp_path / "spool", HOUR + HOUR_MS + GRACE_MS)
    more = write(tmp_path / "b.txt", [trade(n) for n in range(3, 8)])
    report = import_hftbacktest([more], tmp_path / "spool")
    assert (report.added.total(), report.present.total()) == (3, 2)
    (lines,) = content(tmp_path / "spool").values()
    assert [json.loads(line)["data"]["t"] for line in lines] == list(range(8))


def test_overlapping_captures_add_what_is_missing(tmp_path: Path) -> None:
    one = write(tmp_path / "a.txt", [trade(n) for n in range(6)])
    other = write(tmp_path / "b.txt", [trade(n) for n in range(4, 10)])
    report = import_hftbacktest([one, other], tmp_path / "spool")
    assert (report.added.total(), report.present.total()) == (10, 2)


def test_a_line_that_a_capture_holds_twice_stays_twice(tmp_path: Path) -> None:
    source = write(tmp_path / "a.txt", [trade(1), trade(1), trade(2)])
    assert import_hftbacktest([source], tmp_path / "spool").added.total() == 3
    assert import_hftbacktest([source], tmp_path / "spool").added.total() == 0


@pytest.mark.parametrize("cut", [0, 1, 70, 71, 200, 350])
def test_a_killed_import_is_completed_by_repeating_it(tmp_path: Path, cut: int) -> None:
    """A kill leaves any part of the bytes; the lines it tore are closed, everything else is there once."""
    source = write(tmp_path / "a.txt", [trade(n) for n in range(5)])
    import_hftbacktest([source], tmp_path / "whole")
    ((name, lines),) = content(tmp_path / "whole").items()
    import_hftbacktest([source], tmp_path / "spool")
    (file,) = list_files(tmp_path / "spool")
    assert file.plain is not None
    whole = file.plain.read_bytes()
    kept = whole[:cut]
    file.plain.write_bytes(kept)
    import_hftbacktest([source], tmp_path / "spool")
    torn = kept.rpartition(b"\n")[2]
    got = content(tmp_path / "spool")[name]
    assert sorted(got) == sorted(lines + ([torn] if torn else []))


def test_a_full_disk_stops_the_import_and_repeating_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "a.txt", [trade(n) for n in range(500)])
    monkeypatch.setattr(merge, "FLUSH_BYTES", 4000)
    real, left = appender.os.write, [9_001]

    def fills_up(handle: int, data: memoryview) -> int:
        taken = real(handle, data[: left[0]]) if left[0] else 0
        left[0] -= taken
        return taken

    with monkeypatch.context() as patch:
        patch.setattr(appender.os, "write", fills_up)
        with pytest.raises(SpoolError, match="repeat the import"):
            import_hftbacktest([source], tmp_path / "spool")
    report = import_hftbacktest([source], tmp_path / "spool")
    assert 0 < report.present.total() < 500
    assert report.added.total() + report.present.total() == 500
    (lines,) = content(tmp_path / "spool").values()
    assert {json.loads(line)["data"]["t"] for line in lines if line.endswith(b"}}")} == set(range(500))


def test_only_what_is_asked_for_is_taken_and_the_rest_is_counted(tmp_path: Path) -> None:
    lines = [trade(1), trade(2, "ethusdt"), trade(3, stream="bookTicker"), trade(4, stream="kline_1m"),
             b'%d {"stream":"!bookTicker","data":{}}' % (HOUR * 10**6)]  # fmt: skip
    source = write(tmp_path / "a.txt", lines)
    report = import_hftbacktest([source], tmp_path / "spool", symbols=["BTCUSDT"], streams=["trade"])
    assert report.added == {("BTCUSDT", "trade"): 1}
    assert report.lines == balance(report) == 5
    assert report.skipped["ETHUSDT"] == report.skipped["bookTicker"] == report.skipped["kline_1m"] == 1


def test_diff_depth_is_taken_when_asked_for(tmp_path: Path) -> None:
    source = write(tmp_path / "a.txt", [trade(1, stream="depth@0ms")])
    assert import_hftbacktest([source], tmp_path / "spool", streams=["depth@0ms"]).added.total() == 1
    with pytest.raises(InputError, match="kline_1m"):
        import_hftbacktest([source], tmp_path / "spool", streams=["kline_1m"])


BAD_LINES = {
    b'123 {"stream":"btcusdt@trade","data":{}}': "no time of receipt",
    b'{"stream":"btcusdt@trade","data":{}}': "no time of receipt",
    b'9999999999999999999 {"stream":"btcusdt@trade","data":{}}': "no time of receipt",
    b"": "no time of receipt",
    b"\x00\xff\xfe": "no time of receipt",
    b'1721347200000000001 {"stream":"btcusdt@trade","data":{': "not JSON, or not a message",
    b'1721347200000000001 {"stream":"\xff@trade","data":{}}': "not JSON, or not a message",
    b'1721347200000000001 {"stream":5,"data":{}}': "not JSON, or not a message",
    b"1721347200000000001 [1]": "not JSON, or not a message",
    b"1721347200000000001 ": "not JSON, or not a message",
    b'1721347200000000001 {"result":null,"id":1}': "no stream name or no data",
    b'1721347200000000001 {"stream":"btcusdt@trade"}': "no stream name or no data",
    b'1721347200000000001 {"stream":"btcusdt@trade","data":[]}': "no stream name or no data",
    b'1721347200000000001 {"recv_ns":1,"stream":"btcusdt@trade","data":{}}': "keys of the spool's own",
    b'1721347200000000001 {"stream":"../../etc@trade","data":{}}': "symbol that cannot be a file name",
    b'1721347200000000001 {"stream":"BTCUSDT@trade","data":{}}': "symbol that cannot be a file name",
    b'1721347200000000001 {"stream":"nul@trade","data":{}}': "symbol that cannot be a file name",
}


@pytest.mark.parametrize(("line", "reason"), BAD_LINES.items())
def test_a_bad_line_is_counted_by_its_reason_and_harms_nothing(tmp_path: Path, line: bytes, reason: str) -> None:
    source = write(tmp_path / "a.txt", [trade(1), line, trade(2)])
    report = import_hftbacktest([source], tmp_path / "spool")
    assert report.rejected == {reason: 1}
    assert report.added == {("BTCUSDT", "trade"): 2}
    assert report.faults == []
    assert [file.symbol for file in list_files(tmp_path / "spool")] == ["BTCUSDT"]
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "spool"}


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_of_50_mb_is_counted_and_never_held(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "a.txt"
    with gzip.open(path, "wb", compresslevel=1) if packed else path.open("wb") as file:
        file.write(trade(1) + b"\n")
        file.write(b'1721347200000000001 {"stream":"btcusdt@trade","data":{"x":"')
        for _ in range(50):
            file.write(b"x" * 1_000_000)
        file.write(b'"}}\n' + trade(2) + b"\n")
    report = import_hftbacktest([path], tmp_path / "spool")
    assert report.rejected == {"line too long": 1}
    assert report.added.total() == 2


@pytest.mark.parametrize("size", [-1, 0, 1])
def test_the_longest_line_is_exactly_the_longest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    line = trade(1)
    monkeypatch.setattr(capture, "MAX_LINE", len(line) + 1 + size)
    report = import_hftbacktest([write(tmp_path / "a.txt", [line, trade(2)])], tmp_path / "spool")
    assert report.added.total() == (2 if size >= 0 else 0)
    assert report.lines == balance(report) == 2


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.99])
def test_a_truncated_gzip_gives_its_whole_lines_and_says_so(tmp_path: Path, cut: float) -> None:
    packed = gzip.compress(b"".join(trade(n) + b"\n" for n in range(20_000)))
    path = tmp_path / "a.gz"
    path.write_bytes(packed[: int(len(packed) * cut)])
    report = import_hftbacktest([path, write(tmp_path / "b.txt", [trade(1, "ethusdt")])], tmp_path / "spool")
    taken = report.added["BTCUSDT", "trade"]
    assert 0 < taken < 20_000
    assert report.rejected.total() == 0
    assert report.added["ETHUSDT", "trade"] == 1
    (fault,) = report.faults
    assert "a.gz" in fault
    assert f"the {taken:,} whole lines before it were read" in fault
    path.write_bytes(packed)
    assert import_hftbacktest([path], tmp_path / "spool").added.total() == 20_000 - taken


@pytest.mark.parametrize(
    ("data", "sentence"),
    [(b"", "found an empty file"), (b"\x1f\x8b\x08garbage" * 9, "expected whole gzip data"),
     (bytes(range(256)) * 40, "found no message"), (b"a,b,c\n1,2,3\n", "found no message in 2 lines"),
     (gzip.compress(b""), "found no message in 0 lines")],
    ids=["empty", "garbage after a gzip head", "every byte", "a table", "an empty gzip"],
)  # fmt: skip
def test_a_file_that_is_no_capture_is_named(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(data)
    report = import_hftbacktest([path], tmp_path / "spool")
    assert list_files(tmp_path / "spool") == []
    assert len(report.faults) == 1
    assert sentence in report.faults[0]
    assert str(path) in report.faults[0]


def test_a_file_that_is_not_there_stops_before_anything_is_done(tmp_path: Path) -> None:
    source = write(tmp_path / "a.txt", [trade(1)])
    for missing in (tmp_path / "b.txt", tmp_path):
        with pytest.raises(InputError, match="expected a capture file"):
            import_hftbacktest([source, missing], tmp_path / "spool")
    assert not (tmp_path / "spool").exists()


def test_a_last_line_without_its_newline_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(trade(1) + b"\n" + trade(2))
    assert import_hftbacktest([path], tmp_path / "spool").added.total() == 2


def test_windows_line_ends_are_not_part_of_the_message(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(trade(1) + b"\r\n" + trade(2) + b"\r\n")
    import_hftbacktest([path], tmp_path / "spool")
    (lines,) = content(tmp_path / "spool").values()
    assert all(line.endswith(b"}}") for line in lines)


def test_a_million_stream_names_cannot_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hftbacktest, "_MOST_NAMES", 10)
    source = write(tmp_path / "a.txt", [trade(n, stream=f"kline_{n}m") for n in range(100)])
    report = import_hftbacktest([source], tmp_path / "spool")
    assert len(report.skipped) <= 11
    assert report.lines == balance(report) == 100


def test_a_name_from_the_file_is_safe_to_show(tmp_path: Path) -> None:
    source = write(tmp_path / "a.txt", [b'1721347200000000001 {"stream":"btcusdt@\\u001b[2J","data":{}}'])
    assert import_hftbacktest([source], tmp_path / "spool").skipped == {"?[2J": 1}


def test_progress_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    source = write(tmp_path / "a.txt", [trade(n) for n in range(20_000)])
    import_hftbacktest([source], tmp_path / "spool", progress=lambda file: seen.append((file.position, file.size)))
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert seen[-1] == (source.stat().st_size, source.stat().st_size)
