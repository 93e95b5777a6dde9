"""Files of Tardis as rows of segments: `trades`, `book_ticker`, `book_snapshot_5/25`, `incremental_book_L2`.

Tardis stamps each row with its own receipt (`local_timestamp`, microseconds) and keeps no ids of book updates: rows of one
receipt are one update, whose id is the receipt in microseconds times 1000 plus an ordinal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from ofi_cvd.errors import InputError
from ofi_cvd.history.inputs import InputFile
from ofi_cvd.history.rows import Chunk, judged, prefetched, shown
from ofi_cvd.spool.segments import BOOK_LEVELS, segment_schema

SOURCE: Final = "tardis"
_MARKETS: Final = {"binance-futures": "usdm", "binance": "spot"}
_IDS: Final = ("exchange", "symbol", "timestamp", "local_timestamp")
_HEADERS: Final = {
    "trade": ",".join((*_IDS, "id", "side", "price", "amount")),
    "tardisTicker": ",".join((*_IDS, "ask_amount", "ask_price", "bid_price", "bid_amount")),
    "tardisL2": ",".join((*_IDS, "is_snapshot", "side", "price", "amount")),
    **{
        stream: ",".join(
            (
                *_IDS,
                *(
                    f"{side}s[{k}].{what}"
                    for k in range(levels)
                    for side in ("ask", "bid")
                    for what in ("price", "amount")
                ),
            )
        )
        for stream, levels in (("tardisBook5", 5), ("tardisBook25", 25))
    },
}
_SYMBOL: Final = re.compile(r"[A-Za-z0-9_]{2,32}")


@dataclass(frozen=True)
class TardisFile:
    """One file of Tardis, looked at."""

    file: InputFile
    stream: str
    symbol: str
    market: str
    columns: tuple[str, ...]

    @property
    def source(self) -> str:
        """The format."""
        return SOURCE

    @property
    def stem(self) -> str:
        """The name that a revision of this file keeps."""
        return self.file.path.name.removesuffix(".gz").removesuffix(".csv")

    @property
    def proves_absence(self) -> bool:
        """Never: a recorder of others may have missed what is not there."""
        return False

    @property
    def span_ms(self) -> tuple[int, int] | None:
        """Unknown: the name of a file of Tardis is the customer's."""
        return None

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows with the columns of a segment, and how many lines were refused.

        Raises:
            InputError: the file is damaged or unsafe, or holds rows of another symbol.
        """
        first_row, ordinals = 0, _Ordinals()
        for data in prefetched(self.file.chunks()):
            body = data[data.find(b"\n") + 1 :] if not first_row else data
            if not body.strip():
                continue
            raw = self._parse(body)
            raw = raw.with_columns(file_row=pl.int_range(first_row, first_row + len(raw), dtype=pl.Int64))
            first_row += len(raw)
            yield self._complete(raw, ordinals)

    def _parse(self, body: bytes) -> pl.DataFrame:
        schema = {name: _type(name) for name in self.columns}
        try:
            raw = pl.read_csv(
                body, has_header=False, schema={f"column_{at + 1}": dtype for at, dtype in enumerate(schema.values())},
                quote_char=None, ignore_errors=True, truncate_ragged_lines=True, encoding="utf8-lossy",
            )  # fmt: skip
        except pl.exceptions.PolarsError as error:
            raise InputError(f"{self.file.path}: expected lines of Tardis, found {error}") from None
        raw = raw.rename(dict(zip(raw.columns, schema, strict=True)))
        others = raw.filter(pl.col("symbol").str.to_uppercase() != self.symbol)
        if not others.is_empty():
            found = shown(str(others["symbol"][0]))
            raise InputError(f"{self.file.path}: expected rows of {self.symbol} alone, found {found!r}")
        return raw

    def _complete(self, raw: pl.DataFrame, ordinals: _Ordinals) -> Chunk:
        schema = segment_schema(self.stream)
        rows = raw.with_columns(recv_ns=pl.col("local_timestamp") * 1000, traded_ms=pl.col("timestamp").floordiv(1000))
        if self.stream == "trade":
            rows = rows.rename({"id": "trade_id", "amount": "qty"}).with_columns(buyer_is_maker=_buyer_is_maker())
        elif self.stream == "tardisL2":
            rows = ordinals.of_changes(rows).rename({"amount": "qty"})
            rows = rows.with_columns(is_bid=_side("bid", "ask"))
        else:
            rows = ordinals.of_rows(_levels(rows, BOOK_LEVELS[self.stream]))
        lacking = {name: pl.lit(None, dtype=schema[name]) for name in schema if name not in rows.columns}
        return judged(rows.with_columns(**lacking), self.stream, None)


class _Ordinals:
    """Numbers the updates of one receipt, across chunks."""

    def __init__(self) -> None:
        self._local: int | None = None
        self._count = 0
        self._snapshot: bool | None = None

    def of_rows(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows that are an update each, with `update_id`."""
        return self._numbered(rows, pl.lit(value=True))

    def of_changes(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return changes with `update_id`: consecutive rows of one receipt and `is_snapshot` are one update."""
        snapshot = pl.col("is_snapshot")
        is_first = snapshot.ne_missing(snapshot.shift(fill_value=self._snapshot))
        numbered = self._numbered(rows, is_first)
        self._snapshot = rows["is_snapshot"][-1]
        return numbered

    def _numbered(self, rows: pl.DataFrame, begins: pl.Expr) -> pl.DataFrame:
        local = pl.col("local_timestamp")
        is_new_receipt = local.ne_missing(local.shift(fill_value=self._local))
        steps = rows.with_columns(is_new=is_new_receipt, begins=(begins | is_new_receipt)).with_columns(
            group=pl.col("is_new").cast(pl.Int64).cum_sum()
        )
        ordinal = pl.col("begins").cast(pl.Int64).cum_sum().over("group")
        counted = steps.with_columns(
            ordinal=ordinal + pl.when(pl.col("group") == 0).then(pl.lit(self._count, dtype=pl.Int64)).otherwise(0)
        )
        self._local, self._count = counted["local_timestamp"][-1], counted["ordinal"][-1]
        return counted.with_columns(update_id=local * 1000 + pl.col("ordinal") - 1).drop("is_new", "begins", "group")


def open_tardis(file: InputFile, symbol: str | None = None) -> TardisFile:
    """Look at a file's header and first row and return what it is.

    Raises:
        InputError: it is no file of Tardis that is known, of another exchange, or of another symbol than asked for.
    """
    head = next(file.chunks(), b"")[: 64 * 1024].decode("utf-8", "replace").splitlines()
    header = head[0].strip() if head else ""
    stream = next((name for name, columns in _HEADERS.items() if columns == header), None)
    if stream is None:
        raise InputError(
            f"{file.path}: expected trades, book_ticker, incremental_book_L2 or book_snapshot_5/25 of Tardis, "
            f"found columns {shown(header)!r}"
        )
    if len(head) < 2:
        raise InputError(f"{file.path}: expected rows, found only a header")
    exchange, found = [*head[1].split(","), ""][:2]
    if exchange not in _MARKETS:
        raise InputError(f"{file.path}: expected binance-futures or binance, found {shown(exchange)!r}")
    if not _SYMBOL.fullmatch(found) or (symbol is not None and found.upper() != symbol):
        raise InputError(f"{file.path}: expected rows of {symbol or 'a symbol'}, found {shown(found)!r}")
    return TardisFile(file, stream, found.upper(), _MARKETS[exchange], tuple(header.split(",")))


def _type(name: str) -> pl.DataType:
    if name in {"timestamp", "local_timestamp", "id"}:
        return pl.Int64()
    if name == "is_snapshot":
        return pl.Boolean()
    return pl.String() if name in {"exchange", "symbol", "side"} else pl.Decimal(38, 8)


def _side(true: str, false: str) -> pl.Expr:
    return pl.when(pl.col("side") == true).then(statement=True).when(pl.col("side") == false).then(statement=False)


def _buyer_is_maker() -> pl.Expr:
    """Return whether the buyer was the maker; Tardis names the side of the taker."""
    return _side("sell", "buy")


def _levels(rows: pl.DataFrame, levels: int) -> pl.DataFrame:
    """Return rows with our names of the levels, and how many levels each side has."""
    if levels == 1:
        named = {"ask_price": "ask_px_1", "ask_amount": "ask_qty_1", "bid_price": "bid_px_1", "bid_amount": "bid_qty_1"}
    else:
        named = {
            f"{side}s[{k - 1}].{theirs}": f"{side}_{ours}_{k}"
            for k in range(1, levels + 1)
            for side in ("ask", "bid")
            for theirs, ours in (("price", "px"), ("amount", "qty"))
        }
    counts = {
        f"{side}_depth": pl.sum_horizontal(
            pl.col(f"{side}_px_{k}").is_not_null().cast(pl.Int64) for k in range(1, levels + 1)
        )
        for side in ("bid", "ask")
    }
    return rows.rename(named).with_columns(**counts)
