"""Reading from any offset, over any mix of plain and sealed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.spool import reader
from ofi_cvd.spool.layout import SpoolFile, find_file, stream_path
from ofi_cvd.spool.reader import read_bytes_from, read_lines
from ofi_cvd.spool.seal import GRACE_MS, seal_closed_hours

HOUR = 1_721_347_200_000


def spool_of(root: Path, sealed: bytes, plain: bytes) -> SpoolFile:
    """A logical file whose first bytes are sealed and whose last are not."""
    path = stream_path(root, HOUR, "BTCUSDT", "trade")
    path.parent.mkdir(parents=True)
    if sealed:
        path.write_bytes(sealed)
        seal_closed_hours(root, HOUR + HOUR_MS + GRACE_MS)
    if plain or not sealed:
        path.write_bytes(plain)
    file = find_file(root, HOUR, "BTCUSDT", "trade")
    assert file is not None
    return file


@settings(max_examples=60, deadline=None)
@given(
    sealed=st.integers(0, 6),
    plain=st.integers(0, 6),
    cut=st.integers(0, 200),
    chunk=st.sampled_from([1, 3, 16, 1 << 20]),
)
def test_bytes_from_any_offset_are_the_rest(
    tmp_path_factory: pytest.TempPathFactory, sealed: int, plain: int, cut: int, chunk: int
) -> None:
    head = b"".join(b'{"n":%d}\n' % n for n in range(sealed))
    tail = b"".join(b'{"later":%d}\n' % n for n in range(plain))
    file = spool_of(tmp_path_factory.mktemp("spool"), head, tail)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "CHUNK", chunk)
        assert b"".join(read_bytes_from(file, cut)) == (head + tail)[cut:]
        assert list(read_lines(file)) == (head + tail).splitlines()


def test_a_torn_last_line_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    file = spool_of(tmp_path, b"", b"whole\n\ntor")
    assert list(read_lines(file)) == [b"whole", b"", b"tor"]
