"""Counts what a recording holds against what the exchange emitted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from ofi_cvd.binance.frames import read_trades
from ofi_cvd.spool.layout import list_files
from ofi_cvd.spool.ledger import read_ledger
from ofi_cvd.spool.reader import parts


@dataclass(frozen=True)
class Held:
    """The trade ids of one symbol in a spool.

    Attributes:
        first, last: the smallest and the largest id; None without a trade.
        ids: different ids.
        lines: stored trades; more than `ids` where one was stored twice.
        fetched: of them, those fetched later over REST.
    """

    first: int | None
    last: int | None
    ids: int
    lines: int
    fetched: int

    @property
    def duplicates(self) -> int:
        """Trades stored more than once."""
        return self.lines - self.ids

    def missing(self, last: int | None) -> int:
        """Return how many ids are missing from the first one held to `last`, the exchange's latest."""
        if self.first is None or last is None:
            return 0
        return max(last, self.last or 0) - self.first + 1 - self.ids


def held(spool_dir: Path, symbol: str, stream: str = "aggTrade") -> Held:
    """Return which trade ids of a symbol a spool holds, also while it is being written."""
    paths = [path for file in list_files(spool_dir, symbols={symbol}, streams={stream}) for path in parts(file)]
    if not paths:
        return Held(None, None, 0, 0, 0)
    with duckdb.connect() as connection:
        rows = read_trades(connection, paths, stream).filter(pl.col("trade_id").is_not_null())
    ids = rows["trade_id"]
    fetched = int(rows["from_rest"].sum())
    return Held(_whole(ids.min()), _whole(ids.max()), ids.n_unique(), rows.height, fetched)


def book_gaps_s(spool_dir: Path, trade_stream: str) -> list[float]:
    """Return the lengths in seconds of the holes in book streams that the ledger declares."""
    gaps = [record for record in read_ledger(spool_dir) if record["event"] == "gap"]
    spans = [
        (_whole(gap.get("start_ms")), _whole(gap.get("end_ms")))
        for gap in gaps
        if not str(gap["stream"]).endswith(trade_stream)
    ]
    return [(end - start) / 1000 for start, end in spans if start is not None and end is not None]


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
