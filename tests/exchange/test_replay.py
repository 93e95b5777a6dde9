"""A spool played back: order, spacing, times, repaired trades, torn lines, sealed files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ofi_cvd.errors import InputError
from ofi_cvd.exchange import replay
from ofi_cvd.exchange.replay import ReplaySource
from ofi_cvd.exchange.server import Exchange
from ofi_cvd.spool.layout import stream_path
from tests.exchange.stub import StubMarket

HOUR = 1_760_000_400_000 // 3_600_000 * 3_600_000


class Tape:
    """A sink that writes down what is emitted when; its clock runs only while it is asked."""

    def __init__(self) -> None:
        self.events: list[tuple[int, str, bytes]] = []
        self._now_ms = 2_000_000_000_000

    def now_ms(self) -> int:
        self._now_ms += 1
        return self._now_ms

    def emit(self, stream: str, payload: bytes) -> None:
        self.events.append((self._now_ms, stream, payload))

    def emit_block(self, block: Any) -> None:
        raise AssertionError(block)

    def settle(self) -> None:
        pass

    def backlog(self) -> int | None:
        return None


def write(root: Path, hour_ms: int, symbol: str, stream: str, lines: list[bytes], *, repair: bool = False) -> None:
    path = stream_path(root, hour_ms, symbol, stream, repair=repair)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def line(recv_ms: int, symbol: str, stream: str, payload: bytes, conn: str = "m1") -> bytes:
    name = f"{symbol.lower()}@{stream}"
    return b'{"recv_ns":%d,"conn":"%s","stream":"%s","data":%s}' % (
        recv_ms * 1_000_000 + 123_456,
        conn.encode(),
        name.encode(),
        payload,
    )


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two hours, two symbols, trades and books, a torn line, and ids 1003 and 1004 known from a repair only."""
    monkeypatch.setattr(replay, "_STEP_S", 0)  # the tape's clock runs by itself
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for hour_ms, market in ((HOUR, StubMarket(symbol, HOUR + 3_599_000)), (HOUR + 3_600_000, None)):
            live = market or StubMarket(symbol, hour_ms)
            rows: dict[str, list[bytes]] = {}
            for at, stream, payload in live.block():
                if (
                    stream in {"aggTrade", "depth5@100ms"}
                    and b'"a":1003,' not in payload
                    and b'"a":1004,' not in payload
                ):
                    rows.setdefault(stream, []).append(line(at + 7, symbol, stream, payload))
            for stream, lines in rows.items():
                write(tmp_path, hour_ms, symbol, stream, [*lines, b'{"recv_ns":17'])
    market = StubMarket("BTCUSDT", HOUR + 3_599_000)
    trades = [market.trade(ident, HOUR + 3_599_002 + 20 * (ident - 1000)) for ident in (1004, 1003)]
    fields = [{k: v for k, v in json.loads(t).items() if k not in {"e", "E", "s", "st"}} for t in trades]
    late = [line(HOUR + 9_000_000, "BTCUSDT", "aggTrade", json.dumps(f).encode(), conn="rest") for f in fields]
    write(tmp_path, HOUR, "BTCUSDT", "aggTrade", late, repair=True)
    return tmp_path


async def played(spool: Path, **options: Any) -> tuple[ReplaySource, Tape]:
    source, tape = ReplaySource(spool, **options), Tape()
    await source.play(tape)
    return source, tape


async def test_every_line_is_played_once_in_the_order_of_receipt_and_torn_ones_are_counted(spool: Path) -> None:
    source, tape = await played(spool, speed=1000, shift_to_now=False)
    assert source.symbols == ("BTCUSDT", "ETHUSDT")
    assert source.rejected == 8
    for symbol, gap in (("btcusdt", False), ("ethusdt", True)):
        ids = [json.loads(p)["a"] for _, stream, p in tape.events if stream == f"{symbol}@aggTrade"]
        first = [ident for ident in range(1000, 1050) if not (gap and ident in {1003, 1004})]
        assert ids == first + [ident for ident in range(1000, 1050) if ident not in {1003, 1004}]
    times = [json.loads(payload)["E"] for _, _, payload in tape.events]
    assert times == sorted(times)


async def test_kept_times_are_verbatim(spool: Path) -> None:
    _, tape = await played(spool, speed=1000, shift_to_now=False)
    payloads = {payload for _, stream, payload in tape.events if stream == "ethusdt@aggTrade"}
    assert payloads <= {payload for _, _, payload in StubMarket("ETHUSDT", HOUR + 3_599_000).block()} | {
        payload for _, _, payload in StubMarket("ETHUSDT", HOUR + 3_600_000).block()
    }


async def test_at_speed_one_distances_and_latencies_are_those_of_the_recording(spool: Path) -> None:
    _, tape = await played(spool, speed=1)
    start = tape.events[0][0]
    for at, _, payload in tape.events:
        message = json.loads(payload)
        # Twenty, as the first; less 7 for what was repaired; plus the sink's clock, a millisecond for each question.
        assert 13 <= at - message["E"] <= 35
        assert message["E"] - message["T"] in {0, 1, 2}
    assert 1900 <= tape.events[-1][0] - start <= 2100


async def test_speed_compresses_spacing_and_times_alike(spool: Path) -> None:
    _, tape = await played(spool, speed=4)
    times = [json.loads(payload)["E"] for _, _, payload in tape.events]
    assert 475 <= times[-1] - times[0] <= 500
    assert 475 <= tape.events[-1][0] - tape.events[0][0] <= 530
    assert times == sorted(times)


async def test_what_was_repaired_is_on_the_wire_and_in_rest(spool: Path) -> None:
    async with Exchange(ReplaySource(spool, speed=5)) as exchange:
        await exchange.finished()
        trades = exchange.emitted["BTCUSDT"].from_id(1000, 10)
    assert [trade["a"] for trade in trades[:6]] == [1000, 1001, 1002, 1003, 1004, 1005]
    assert all(set(trade) == {"a", "p", "q", "nq", "f", "l", "T", "m"} for trade in trades)


@pytest.mark.parametrize("speed", [0, -1, float("inf"), float("nan")])
def test_a_speed_is_above_zero(spool: Path, speed: float) -> None:
    with pytest.raises(InputError, match="speed"):
        ReplaySource(spool, speed=speed)


def test_an_empty_spool_cannot_be_played(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none"):
        ReplaySource(tmp_path)
