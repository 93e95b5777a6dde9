"""Imported segments: rows of others beside the recorder's own files, columnar, exact and immutable.

A segment holds the rows of one input that belong to one hour of one symbol and stream. It counts once the ledger has an
`imported` record of its input, and until a revision of that input supersedes it; nothing is ever deleted.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from ofi_cvd.binance.wire import IMPORTED_LEVELS
from ofi_cvd.errors import InputError, SpoolError
from ofi_cvd.spool.layout import hour_dir, is_symbol, list_hours

SOURCES: Final = ("binance-archive", "hftbacktest", "tardis")
TICKER_STREAMS: Final = ("bookTicker", "tardisTicker")
BOOK_LEVELS: Final = {"bookTicker": 1, **IMPORTED_LEVELS}
SEGMENT_STREAMS: Final = ("aggTrade", "trade", *BOOK_LEVELS, "tardisL2")
ABSENT: Final = "ABSENT"
"""The `trade_kind` of an id that a verified file of the venue proves to be no trade."""

_FILE: Final = re.compile(r"([A-Z0-9_]+)\.([A-Za-z0-9@]+)\.([a-z-]+)-([0-9a-f]{12})\.parquet")
_TEXTS: Final = ("sha256", "file", "source", "symbol", "stream")
_NUMBERS: Final = ("rows", "start_ms", "end_ms", "recv_ns")
_PRICE: Final = pl.Decimal(38, 8)
_TIMES: Final = {"traded_ms": pl.Int64(), "pushed_ms": pl.Int64()}

TRADES: Final = pl.Schema(
    {
        "recv_ns": pl.Int64(),
        "trade_id": pl.Int64(),
        **_TIMES,
        "price": _PRICE,
        "qty": _PRICE,
        "buyer_is_maker": pl.Boolean(),
        "trade_kind": pl.String(),
        "file_row": pl.Int64(),
    }
)
"""Columns of a segment of trades; `recv_ns` and `pushed_ms` are null where the source does not have them."""

CHANGES: Final = pl.Schema(
    {
        "recv_ns": pl.Int64(),
        "update_id": pl.Int64(),
        **_TIMES,
        "is_snapshot": pl.Boolean(),
        "is_bid": pl.Boolean(),
        "price": _PRICE,
        "qty": _PRICE,
        "file_row": pl.Int64(),
    }
)
"""Columns of a segment of book changes (`tardisL2`): one row a changed level."""


def book_schema(levels: int) -> pl.Schema:
    """Return the columns of a segment of books with up to `levels` levels a side, null where a level is missing."""
    ids = ("recv_ns", "update_id", "previous_id", *_TIMES, "bid_depth", "ask_depth")
    prices = [f"{side}_{what}_{k}" for k in range(1, levels + 1) for side in ("bid", "ask") for what in ("px", "qty")]
    return pl.Schema(dict.fromkeys(ids, pl.Int64()) | dict.fromkeys(prices, _PRICE) | {"file_row": pl.Int64()})


def segment_schema(stream: str) -> pl.Schema:
    """Return the columns of a segment of `stream`."""
    if stream in BOOK_LEVELS:
        return book_schema(BOOK_LEVELS[stream])
    return CHANGES if stream == "tardisL2" else TRADES


def id_column(stream: str) -> str:
    """Return the name of the id column of a segment of `stream`."""
    return "trade_id" if stream in {"aggTrade", "trade"} else "update_id"


@dataclass(frozen=True, order=True)
class Segment:
    """One segment.

    Attributes:
        hour_ms: the start of the hour of receipt, or of the rows' own time where the source has no receipts.
        source: the format it came in.
        digest: the first 12 hex digits of the input's SHA-256.
        path: the file.
    """

    hour_ms: int
    symbol: str
    stream: str
    source: str
    digest: str
    path: Path

    @property
    def name(self) -> str:
        """The file's name, unique within its hour."""
        return self.path.name

    @property
    def precedence(self) -> int:
        """The place of the input among archives that hold the same id: the smaller digest comes first."""
        return 2 + int(self.digest, 16)

    def read(self) -> pl.DataFrame:
        """Return the rows.

        Raises:
            SpoolError: the file is damaged or is not what its name says.
        """
        try:
            frame = pl.read_parquet(self.path, hive_partitioning=False, glob=False)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise SpoolError(f"{self.path}: expected a whole segment, found a damaged one ({error})") from None
        if frame.schema != segment_schema(self.stream):
            raise SpoolError(f"{self.path}: expected the columns of a segment of {self.stream}, found {frame.columns}")
        return frame


@dataclass(frozen=True)
class ImportedInput:
    """An `imported` record of the ledger.

    Attributes:
        file: the name of the input.
        rows: rows that its segments hold.
        start_ms: the beginning of the time that the input covers.
        end_ms: its end.
        supersedes: the SHA-256 of the inputs that it replaces.
    """

    sha256: str
    file: str
    source: str
    symbol: str
    stream: str
    rows: int
    start_ms: int
    end_ms: int
    recv_ns: int
    supersedes: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What its segments are named by: symbol, stream, source, digest."""
        return (self.symbol, self.stream, self.source, self.sha256[:12])


def segment_path(root: Path, hour_ms: int, symbol: str, stream: str, source: str, sha256: str) -> Path:
    """Return the path of a segment.

    Raises:
        InputError: a name that cannot be part of a path.
    """
    if not is_symbol(symbol) or stream not in SEGMENT_STREAMS or source not in SOURCES:
        raise InputError(f"expected a symbol, stream and source such as BTCUSDT, aggTrade, tardis, found {symbol!r}")
    return hour_dir(root, hour_ms) / f"{symbol}.{stream}.{source}-{sha256[:12]}.parquet"


def imported_inputs(records: Iterable[Mapping[str, object]]) -> list[ImportedInput]:
    """Return the usable `imported` records of a ledger, oldest import first."""
    found = [one for record in records if record.get("event") == "imported" and (one := _input_of(record))]
    return sorted(found, key=lambda one: (one.recv_ns, one.sha256))


def inputs_in_force(records: Iterable[Mapping[str, object]]) -> list[ImportedInput]:
    """Return the inputs that count: those that no other one supersedes."""
    inputs = imported_inputs(records)
    gone = {(one.symbol, one.stream, sha) for one in inputs for sha in one.supersedes}
    return [one for one in inputs if (one.symbol, one.stream, one.sha256) not in gone]


def list_segments(
    root: Path,
    inputs: Iterable[ImportedInput],
    *,
    symbols: Collection[str] | None = None,
    streams: Collection[str] | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> list[Segment]:
    """Return the segments of `inputs` in the hours that overlap `[start_ms, end_ms)`, by hour and name."""
    keys = {one.key for one in inputs}
    if not keys:
        return []
    found = []
    for hour_ms, folder in list_hours(root, start_ms=start_ms, end_ms=end_ms):
        for path in folder.glob("*.parquet"):
            match = _FILE.fullmatch(path.name)
            if match is None or (match[1], match[2], match[3], match[4]) not in keys:
                continue
            if (symbols is None or match[1] in symbols) and (streams is None or match[2] in streams):
                found.append(Segment(hour_ms, match[1], match[2], match[3], match[4], path))
    return sorted(found)


def parse_segment(root: Path, place: str) -> Segment | None:
    """Return the segment that `<start of its hour in ms>/<file name>` names, there or not; None for another file."""
    hour, _, name = place.partition("/")
    match = _FILE.fullmatch(name)
    if match is None or not hour.isdigit():
        return None
    return Segment(int(hour), match[1], match[2], match[3], match[4], hour_dir(root, int(hour)) / name)


def is_covered(inputs: Iterable[ImportedInput], symbol: str, stream: str, at_ms: int) -> bool:
    """Return whether an input of a stream covers an instant and the moment before it."""
    return any(one.symbol == symbol and one.stream == stream and one.start_ms < at_ms <= one.end_ms for one in inputs)


def _input_of(record: Mapping[str, object]) -> ImportedInput | None:
    texts = [one for name in _TEXTS if isinstance(one := record.get(name), str)]
    numbers = [one for name in _NUMBERS if isinstance(one := record.get(name), int)]
    if len(texts) < len(_TEXTS) or len(numbers) < len(_NUMBERS):
        return None
    sha256, file, source, symbol, stream = texts
    rows, start_ms, end_ms, recv_ns = numbers
    older = record.get("supersedes")
    names = tuple(map(str, older)) if isinstance(older, list) else ()
    return ImportedInput(sha256, file, source, symbol, stream, rows, start_ms, end_ms, recv_ns, names)
