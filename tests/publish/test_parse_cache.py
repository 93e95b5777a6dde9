"""What a process remembers of growing files is what reading them whole gives, however the file was cut."""

from __future__ import annotations

from pathlib import Path

import duckdb
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ofi_cvd.publish.ingest import Reader
from ofi_cvd.publish.parse_cache import ParseCache
from ofi_cvd.spool.layout import list_files
from tests.datasets import settings_for

HOUR = "date=2026-01-05/hour=03"
LINES = [
    b'{"recv_ns":17676%05d000000000,"conn":"m1","stream":"btcusdt@aggTrade","data":'
    b'{"e":"aggTrade","E":1767600000000,"s":"BTCUSDT","a":%d,"p":"1.5","q":"2","T":1767600000000,"m":true}}\n' % (i, i)
    for i in range(6)
] + [b"no object\n", b'{"recv_ns":1767699999900000000,"conn":"m1"\n']


@settings_of(deadline=None, max_examples=25)
@given(order=st.permutations(LINES), cuts=st.lists(st.integers(0, 1500), max_size=5))
def test_a_file_read_in_pieces_is_the_file(tmp_path_factory: object, order: list[bytes], cuts: list[int]) -> None:
    root: Path = tmp_path_factory.mktemp("cache")  # type: ignore[attr-defined]
    path = root / "spool" / HOUR / "BTCUSDT.aggTrade.ndjson"
    path.parent.mkdir(parents=True)
    settings, cache, data = settings_for(root, {}, "BTCUSDT"), ParseCache(), b"".join(order)
    with duckdb.connect() as connection:
        reader = Reader(connection, settings, 5, cache)
        for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
            path.write_bytes(data[:cut])
            [file] = list_files(settings.spool_dir)
            found = reader.read(file, cut)
        whole = Reader(connection, settings, 5).read(file, len(data))
    assert_frame_equal(found.frame, whole.frame)
    assert +found.refused == +whole.refused


def test_what_came_after_the_size_was_taken_waits(tmp_path: Path) -> None:
    path = tmp_path / "spool" / HOUR / "BTCUSDT.aggTrade.ndjson"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(LINES[:4]))
    settings, cache = settings_for(tmp_path, {}, "BTCUSDT"), ParseCache()
    [file] = list_files(settings.spool_dir)
    with duckdb.connect() as connection:
        reader = Reader(connection, settings, 5, cache)
        size = sum(map(len, LINES[:2]))
        assert reader.read(file, size + 10).frame["trade_id"].to_list() == [0, 1]
        assert reader.read(file, file.plain.stat().st_size).frame["trade_id"].to_list() == [0, 1, 2, 3]
        cache.turn()
        cache.turn()
        assert reader.read(file, size).frame["trade_id"].to_list() == [0, 1]
