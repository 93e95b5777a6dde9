"""Names and hours: only plain known names become paths, and a listing sees every logical file once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import InputError
from ofi_cvd.spool.disk import open_append
from ofi_cvd.spool.layout import find_file, hour_dir, hour_of_ns, list_files, list_hours, stream_path

MIDNIGHT_MS = 1_721_347_200_000  # 2024-07-19 00:00 UTC
ROOT = Path("spool")


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x\n")
    return path


def test_an_hour_begins_at_its_first_nanosecond() -> None:
    assert hour_of_ns(MIDNIGHT_MS * 10**6 - 1) == MIDNIGHT_MS - HOUR_MS
    assert hour_of_ns(MIDNIGHT_MS * 10**6) == MIDNIGHT_MS
    assert hour_dir(ROOT, MIDNIGHT_MS - HOUR_MS) == ROOT / "date=2024-07-18" / "hour=23"
    assert hour_dir(ROOT, MIDNIGHT_MS) == ROOT / "date=2024-07-19" / "hour=00"


@given(st.integers(0, 2**63 - 1))
def test_every_64_bit_instant_has_an_hour(recv_ns: int) -> None:
    hour_ms = hour_of_ns(recv_ns)
    assert hour_ms * 10**6 <= recv_ns < (hour_ms + HOUR_MS) * 10**6
    assert hour_dir(ROOT, hour_ms).parent.parent == ROOT


@pytest.mark.parametrize("hour_ms", [-HOUR_MS, 10**16])
def test_a_time_no_clock_shows_is_refused(hour_ms: int) -> None:
    with pytest.raises(InputError, match="between 1970 and 2262"):
        hour_dir(ROOT, hour_ms)


def test_a_path_says_hour_symbol_stream_and_repair() -> None:
    folder = hour_dir(ROOT, MIDNIGHT_MS)
    assert stream_path(ROOT, MIDNIGHT_MS, "BTCUSDT", "depth10@100ms") == folder / "BTCUSDT.depth10@100ms.ndjson"
    repaired = stream_path(ROOT, MIDNIGHT_MS, "BTCUSDT", "aggTrade", repair=True)
    assert repaired == folder / "BTCUSDT.aggTrade.repair.ndjson"


@pytest.mark.parametrize(
    "symbol",
    [
        "../../etc",
        "btcusdt",
        "",
        "A",
        "BTC/USDT",
        "BTC.USDT",
        "BTC\0",
        "BTCUSDT\n",
        "CON",
        "NUL",
        "COM1",
        "LPT9",
        "B" * 50,
    ],
)
def test_a_symbol_that_is_no_plain_name_never_becomes_a_path(symbol: str) -> None:
    with pytest.raises(InputError, match="upper-case exchange symbol"):
        stream_path(ROOT, MIDNIGHT_MS, symbol, "aggTrade")


@pytest.mark.parametrize(
    "stream", ["", "kline_1m", "../x", "aggTrade.repair", "depth7", "depth@1ms", "aggTrade\n", "*"]
)
def test_a_stream_the_spool_does_not_know_never_becomes_a_path(stream: str) -> None:
    with pytest.raises(InputError, match="expected a stream"):
        stream_path(ROOT, MIDNIGHT_MS, "BTCUSDT", stream)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "1000PEPEUSDT", "BTCUSDT_251226", "BTCUSD_PERP", "CONUSDT"])
@pytest.mark.parametrize("stream", ["aggTrade", "trade", "bookTicker", "depth5", "depth@0ms", "depth", "depthSnapshot"])
def test_real_names_are_files_that_windows_can_hold_too(symbol: str, stream: str) -> None:
    name = stream_path(ROOT, MIDNIGHT_MS, symbol, stream).name
    assert not set(name) & set('<>:"/\\|?*')
    assert not name.endswith((".", " "))


def test_a_listing_pairs_plain_and_sealed_and_ignores_strangers(tmp_path: Path) -> None:
    plain = touch(stream_path(tmp_path, MIDNIGHT_MS, "BTCUSDT", "trade"))
    sealed = touch(plain.with_name(plain.name + ".zst"))
    repair = touch(stream_path(tmp_path, MIDNIGHT_MS, "BTCUSDT", "aggTrade", repair=True))
    earlier = touch(stream_path(tmp_path, MIDNIGHT_MS - HOUR_MS, "ETHUSDT", "bookTicker"))
    for stranger in ("_ledger.ndjson", "BTCUSDT.trade.ndjson.zst.part", "notes.txt", "btcusdt.trade.ndjson",
                     "BTCUSDT.kline_1m.ndjson", "BTCUSDT.trade.ndjson.gz"):  # fmt: skip
        touch(plain.with_name(stranger))
    for folder in ("date=2024-07-19/hour=7", "date=2024-07-19/hour=24", "date=never/hour=00", "date=2024-7-19/hour=01"):
        touch(tmp_path / folder / "BTCUSDT.trade.ndjson")
    touch(tmp_path / ".closed-hours.lock")

    files = list_files(tmp_path)
    assert [(f.hour_ms, f.name, f.plain, f.sealed) for f in files] == [
        (MIDNIGHT_MS - HOUR_MS, "ETHUSDT.bookTicker.ndjson", earlier, None),
        (MIDNIGHT_MS, "BTCUSDT.aggTrade.repair.ndjson", repair, None),
        (MIDNIGHT_MS, "BTCUSDT.trade.ndjson", plain, sealed),
    ]
    assert [hour for hour, _ in list_hours(tmp_path)] == [MIDNIGHT_MS - HOUR_MS, MIDNIGHT_MS]


def test_a_listing_can_be_narrowed(tmp_path: Path) -> None:
    for hour in (-1, 0, 1):
        for symbol in ("BTCUSDT", "ETHUSDT"):
            touch(stream_path(tmp_path, MIDNIGHT_MS + hour * HOUR_MS, symbol, "trade"))
    assert len(list_files(tmp_path)) == 6
    assert {f.symbol for f in list_files(tmp_path, symbols=["ETHUSDT"])} == {"ETHUSDT"}
    assert list_files(tmp_path, streams=["aggTrade"]) == []
    window = list_files(tmp_path, start_ms=MIDNIGHT_MS + 1, end_ms=MIDNIGHT_MS + HOUR_MS)
    assert {f.hour_ms for f in window} == {MIDNIGHT_MS}
    window = list_files(tmp_path, start_ms=MIDNIGHT_MS, end_ms=MIDNIGHT_MS + HOUR_MS + 1)
    assert {f.hour_ms for f in window} == {MIDNIGHT_MS, MIDNIGHT_MS + HOUR_MS}
    assert list_files(tmp_path / "absent") == []


def test_one_file_can_be_found_by_its_names(tmp_path: Path) -> None:
    assert find_file(tmp_path, MIDNIGHT_MS, "BTCUSDT", "trade") is None
    path = touch(stream_path(tmp_path, MIDNIGHT_MS, "BTCUSDT", "trade"))
    found = find_file(tmp_path, MIDNIGHT_MS, "BTCUSDT", "trade")
    assert found is not None
    assert found.plain == path
    assert [found] == list_files(tmp_path)


def test_a_link_is_no_file_of_the_spool(tmp_path: Path) -> None:
    """A spool from elsewhere must not lead out of itself: a link is neither read nor written through."""
    outside = touch(tmp_path / "outside.ndjson")
    link = stream_path(tmp_path / "spool", MIDNIGHT_MS, "BTCUSDT", "trade")
    link.parent.mkdir(parents=True)
    try:
        link.symlink_to(outside)
    except OSError:
        pytest.skip("this system makes no links")
    assert list_files(tmp_path / "spool") == []
    assert find_file(tmp_path / "spool", MIDNIGHT_MS, "BTCUSDT", "trade") is None
    with pytest.raises(OSError, match="symbolic link"):
        open_append(link)
    assert outside.read_bytes() == b"x\n"
