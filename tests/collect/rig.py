"""A recorder and the built-in exchange in one loop, and what the disk says afterwards."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ofi_cvd.collect.recorder import record
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.exchange.server import Exchange
from ofi_cvd.exchange.source import Event, MarketSource
from ofi_cvd.settings import Settings
from ofi_cvd.spool.layout import list_files
from ofi_cvd.spool.ledger import read_ledger
from ofi_cvd.spool.reader import read_lines
from tests.exchange.stub import StubMarket

PATIENCE_S = 30.0


class LongMarket(StubMarket):
    """A stub whose ids go on where an earlier run of the same test stopped."""

    def __init__(self, symbol: str, start_ms: int, rate: int, first_id: int) -> None:
        super().__init__(symbol, start_ms, rate)
        self._skip = first_id - 1000

    def trade(self, ident: int, at: int) -> bytes:
        return super().trade(ident + self._skip, at)


def market(*symbols: str, rate: int = 50, first_id: int = 1000) -> MarketSource:
    """Return steady markets: `rate` trades and ten books a second each."""
    return MarketSource(symbols or ("BTCUSDT",), lambda name, start: LongMarket(name, start, rate, first_id))


class PartlyQuiet(StubMarket):
    """A stub that leaves out one stream."""

    def __init__(self, symbol: str, start_ms: int, without: str) -> None:
        super().__init__(symbol, start_ms)
        self._without = without

    def block(self) -> list[Event]:
        return [event for event in super().block() if event.stream != self._without]


def settings(exchange: Exchange | str, spool: Path, **changes: object) -> Settings:
    """Return quick settings: deadlines of tests, not of days."""
    quick: dict[str, object] = {
        "endpoint": exchange if isinstance(exchange, str) else exchange.url,
        "symbols": "BTCUSDT",
        "spool_dir": spool,
        "first_data_secs": 1.0,
        "silence_secs": 1.0,
        "seal_after_secs": 0,
    }
    return Settings(**(quick | changes))


@dataclass
class Run:
    """A recorder at work."""

    stats: RecorderStats
    task: asyncio.Task[None]

    async def until(self, what: Callable[[RecorderStats], bool]) -> None:
        """Wait until the counters say so; fail if the recorder ends or it takes too long."""
        async with asyncio.timeout(PATIENCE_S):
            while not what(self.stats):
                assert not self.task.done(), self.task.exception() if not self.task.cancelled() else "cancelled"
                await asyncio.sleep(0.01)

    async def frames(self, more: int) -> None:
        """Wait for `more` frames."""
        target = self.stats.total("received") + more
        await self.until(lambda stats: stats.total("received") >= target)


@asynccontextmanager
async def recording(chosen: Settings) -> AsyncIterator[Run]:
    """Record while the block runs; leave with everything on the disk."""
    stop, stats = asyncio.Event(), RecorderStats()
    run = Run(stats, asyncio.create_task(record(chosen, stop=stop, stats=stats)))
    try:
        yield run
    finally:
        stop.set()
        await run.task


def rows(spool: Path, symbol: str, stream: str) -> Iterator[tuple[dict, bool]]:
    """Yield the lines of a stream as objects, in order, and whether they are repairs; torn ones are left out."""
    for file in list_files(spool, symbols=[symbol], streams=[stream]):
        for line in read_lines(file):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            yield row, file.repair


def trade_ids(spool: Path, symbol: str = "BTCUSDT") -> list[int]:
    """Return all stored trade ids, repaired ones included, sorted; an id stored twice is there twice."""
    return sorted(row["data"]["a"] for row, _ in rows(spool, symbol, "aggTrade") if "a" in row["data"])


def repaired_ids(spool: Path, symbol: str = "BTCUSDT") -> list[int]:
    """Return the ids in repair files."""
    return sorted(row["data"]["a"] for row, repair in rows(spool, symbol, "aggTrade") if repair)


def events(spool: Path, event: str, stream: str | None = None) -> list[dict]:
    """Return the ledger's records of one kind."""
    return [row for row in read_ledger(spool) if row["event"] == event and stream in (None, row["stream"])]


def assert_whole(spool: Path, symbol: str = "BTCUSDT", *, may_end_open: bool = False) -> list[int]:
    """Assert that trade ids are contiguous, save for what the ledger calls unrepairable, and none is stored twice.

    `may_end_open`: a gap that the end of the recording left to the next one has to be in the ledger as a gap.
    """
    ids = trade_ids(spool, symbol)
    twice = [number for number, count in Counter(ids).items() if count > 1]
    assert twice == []
    given_up = {
        number
        for row in events(spool, "unrepairable")
        if row["symbol"] == symbol
        for number in range(row["expected"], row["received"])
    }
    assert ids, "nothing was recorded"
    missing = set(range(ids[0], ids[-1] + 1)) - set(ids) - given_up
    if may_end_open:
        gaps = [row for row in events(spool, "gap") if row["symbol"] == symbol and row["missing"]]
        missing -= {number for row in gaps for number in range(row["expected"], row["received"])}
    assert sorted(missing) == []
    assert not given_up & set(ids)
    return ids


def book_breaks(spool: Path, symbol: str, stream: str) -> list[tuple[int, int]]:
    """Return the pairs of update ids between which a book's chain is broken on the disk."""
    books = {row["data"]["u"]: row["data"]["pu"] for row, _ in rows(spool, symbol, stream)}
    order = sorted(books)
    return [(a, b) for a, b in itertools.pairwise(order) if books[b] != a]
