"""Compares recorded trades with those of archives, id by id: what only one of them has, and what differs.

Nothing is changed by it: its ledger records inform and decide nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from ofi_cvd.binance.frames import read_trades
from ofi_cvd.common.times import DAY_MS, HOUR_MS, MINUTE_MS
from ofi_cvd.spool.layout import list_files
from ofi_cvd.spool.ledger import Ledger, read_ledger
from ofi_cvd.spool.reader import parts
from ofi_cvd.spool.segments import ABSENT, inputs_in_force, list_segments

_COMPARED: Final = ("price", "qty", "traded_ms", "buyer_is_maker")
_EXAMPLES: Final = 5


@dataclass(frozen=True)
class Reconciliation:
    """One symbol and stream.

    Attributes:
        start_ms, end_ms: the time that both have, within the window.
        equal: ids that both have with the same price, quantity, time and side.
        only_recorded, only_archive: ids that one of them has, not counting the first and the last minute.
        different: ids that both have with other content.
        at_edges: ids of the first or last minute that only one of them has.
        examples: a few ids that are not equal.
    """

    symbol: str
    stream: str
    start_ms: int
    end_ms: int
    equal: int = 0
    only_recorded: int = 0
    only_archive: int = 0
    different: int = 0
    at_edges: int = 0
    examples: tuple[int, ...] = ()

    @property
    def is_comparable(self) -> bool:
        """Whether the recording and an archive have any time in common."""
        return self.end_ms > self.start_ms

    @property
    def is_equal(self) -> bool:
        """Whether nothing is missing or different, the edges apart."""
        return self.is_comparable and not (self.only_recorded or self.only_archive or self.different)


def reconcile(
    spool_dir: Path, symbols: Sequence[str], stream: str, start_ms: int | None = None, end_ms: int | None = None
) -> list[Reconciliation]:
    """Compare the recorded trades of symbols with the imported ones, a day at a time, and note it in the ledger.

    Args:
        spool_dir: the spool.
        symbols: the symbols.
        stream: `aggTrade` or `trade`.
        start_ms: only from this time on.
        end_ms: only up to this time.

    Raises:
        SpoolError: a file or a segment is damaged.
        OSError: the ledger cannot be written.
    """
    found = [_of_symbol(spool_dir, symbol, stream, start_ms, end_ms) for symbol in symbols]
    ledger = Ledger(spool_dir)
    for one in found:
        if one.is_comparable:
            facts = {name: value for name, value in asdict(one).items() if name not in {"symbol", "stream"}}
            ledger.record("reconcile", recv_ns=time.time_ns(), symbol=one.symbol, stream=stream, **facts)
    ledger.sync()
    return found


def _of_symbol(root: Path, symbol: str, stream: str, start_ms: int | None, end_ms: int | None) -> Reconciliation:
    days = _days(root, symbol, stream, start_ms, end_ms)
    frames = [(day, _recorded(root, symbol, stream, day), _archived(root, symbol, stream, day)) for day in days]
    recorded_ms = [ms for _, rows, _ in frames for ms in _extremes(rows)]
    archived_ms = [ms for _, _, rows in frames for ms in _extremes(rows)]
    if not recorded_ms or not archived_ms:
        return Reconciliation(symbol, stream, 0, 0)
    first = max(min(recorded_ms), min(archived_ms), start_ms if start_ms is not None else 0)
    last = min(max(recorded_ms), max(archived_ms), (end_ms if end_ms is not None else 2**62) - 1)
    if last < first:
        return Reconciliation(symbol, stream, 0, 0)
    ours = pl.concat([rows for _, rows, _ in frames]).unique("trade_id", keep="first", maintain_order=True)
    theirs = pl.concat([rows for _, _, rows in frames]).unique("trade_id", keep="first", maintain_order=True)
    return compare(symbol, stream, ours, theirs, (first, last + 1))


def compare(
    symbol: str, stream: str, recorded: pl.DataFrame, archived: pl.DataFrame, span_ms: tuple[int, int]
) -> Reconciliation:
    """Return how two sets of trades, one row an id, differ within a span."""
    both = recorded.join(archived, on="trade_id", how="full", suffix="_archive", coalesce=True)
    at_ms = pl.coalesce("traded_ms", "traded_ms_archive")
    is_here, is_there = pl.col("price").is_not_null(), pl.col("price_archive").is_not_null()
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_archive")) for name in _COMPARED)
    inner = at_ms.is_between(span_ms[0] + MINUTE_MS, span_ms[1] - MINUTE_MS, closed="left")
    verdict = (
        pl.when(is_here & is_there & ~differs)
        .then(pl.lit("equal"))
        .when(is_here & is_there)
        .then(pl.lit("different"))
        .when(~inner)
        .then(pl.lit("at_edges"))
        .when(is_here)
        .then(pl.lit("only_recorded"))
        .otherwise(pl.lit("only_archive"))
    )
    judged = both.filter(at_ms.is_between(*span_ms, closed="left")).select("trade_id", verdict=verdict)
    counts: dict[str, int] = dict(judged["verdict"].value_counts().iter_rows())
    bad = judged.filter(pl.col("verdict").is_in(["only_recorded", "only_archive", "different"]))
    examples = tuple(bad["trade_id"].sort().head(_EXAMPLES))
    return Reconciliation(symbol, stream, *span_ms, **counts, examples=examples)


def _days(root: Path, symbol: str, stream: str, start_ms: int | None, end_ms: int | None) -> list[int]:
    inputs = inputs_in_force(read_ledger(root))
    segments = list_segments(root, inputs, symbols=[symbol], streams=[stream], start_ms=start_ms, end_ms=end_ms)
    return sorted({segment.hour_ms // DAY_MS * DAY_MS for segment in segments})


def _archived(root: Path, symbol: str, stream: str, day_ms: int) -> pl.DataFrame:
    inputs = inputs_in_force(read_ledger(root))
    segments = list_segments(root, inputs, symbols=[symbol], streams=[stream], start_ms=day_ms, end_ms=day_ms + DAY_MS)
    frames = [
        one.read().filter(pl.col("trade_kind").ne_missing(ABSENT) & (pl.col("qty") > 0)).select("trade_id", *_COMPARED)
        for one in sorted(segments, key=lambda one: (one.hour_ms, one.precedence))
    ]
    return pl.concat(frames)


def _recorded(root: Path, symbol: str, stream: str, day_ms: int) -> pl.DataFrame:
    """Return the recorded trades of a day, websocket rows before those of REST; receipts may be an hour later."""
    files = list_files(
        root, symbols=[symbol], streams=[stream], start_ms=day_ms - HOUR_MS, end_ms=day_ms + DAY_MS + HOUR_MS
    )
    paths = [path for file in files for path in parts(file)]
    empty = pl.DataFrame(schema={"trade_id": pl.Int64} | dict.fromkeys(_COMPARED[:2], pl.Decimal(38, 8)) | {
        "traded_ms": pl.Int64, "buyer_is_maker": pl.Boolean,
    })  # fmt: skip
    if not paths:
        return empty
    with duckdb.connect() as connection:
        rows = read_trades(connection, paths, stream)
    kind = pl.col("trade_kind")
    is_trade = (pl.col("price") > 0) & (pl.col("qty") > 0) & (kind.is_null() | (kind == "MARKET"))
    own = pl.col("traded_ms").is_between(day_ms, day_ms + DAY_MS, closed="left")
    return rows.filter(is_trade & own).sort("from_rest", "recv_ns").select(empty.columns)


def _extremes(rows: pl.DataFrame) -> list[int]:
    return (
        []
        if rows.is_empty()
        else [*rows.select(pl.col("traded_ms").min(), pl.col("traded_ms").max().alias("last")).row(0)]
    )
