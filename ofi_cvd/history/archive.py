"""Files of the venue's public archive as rows of segments: what a file is, by name and content, and its rows, chunk by chunk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

import polars as pl

from ofi_cvd.binance.archive import ArchiveLayout, ArchiveName, find_layout, is_header, parse_name
from ofi_cvd.common.times import DAY_MS
from ofi_cvd.errors import InputError
from ofi_cvd.history.inputs import InputFile
from ofi_cvd.history.rows import Chunk, judged, prefetched, shown
from ofi_cvd.spool.segments import segment_schema

SOURCE: Final = "binance-archive"
_LOOKED_AT: Final = 50  # data lines that decide what a file is
_TOO_PRECISE: Final = re.compile(rb"\.\d{8}\d*[1-9]")  # digits that eight decimals cannot hold
_FIRST_US: Final = 10**14  # a time of this size or more is in microseconds


@dataclass(frozen=True)
class ArchiveFile:
    """One file of the archive, looked at.

    Attributes:
        file: the file.
        layout: what its rows are.
        symbol: from the name, or as given.
        name: what the name says; None where it says nothing.
    """

    file: InputFile
    layout: ArchiveLayout
    symbol: str
    name: ArchiveName | None

    @property
    def source(self) -> str:
        """The format."""
        return SOURCE

    @property
    def stem(self) -> str:
        """The name that a revision of this file keeps."""
        return self.name.stem if self.name else self.file.path.name

    @property
    def stream(self) -> str:
        """The stream of the spool that the rows belong to."""
        return self.layout.stream

    @property
    def market(self) -> str:
        """The market that publishes rows of this layout."""
        return self.layout.market

    @property
    def proves_absence(self) -> bool:
        """Whether an id that is not in the file is no trade: placeholders use ids of fills, never of aggregates."""
        return self.stream == "trade" and self.file.is_verified

    @property
    def span_ms(self) -> tuple[int, int] | None:
        """The time that the file covers by its name."""
        return self.name.span_ms if self.name else None

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows with the columns of a segment, and how many lines were refused.

        Raises:
            InputError: the file is damaged or unsafe.
        """
        first_row = 0
        for data in prefetched(self.file.chunks()):
            body = data[data.find(b"\n") + 1 :] if not first_row and is_header(_first_line(data)) else data
            if not body.strip():
                continue
            chunk, lines = self._parse(body, first_row)
            first_row += lines
            yield chunk

    def _parse(self, body: bytes, first_row: int) -> tuple[Chunk, int]:
        kept = [(at, name) for at, name in enumerate(self.layout.columns) if name]
        schema = {f"column_{at + 1}": _type(name) for at, name in enumerate(self.layout.columns)}
        if _TOO_PRECISE.search(body):
            schema |= {key: pl.String() for key, dtype in schema.items() if dtype.is_decimal()}
        try:
            raw = pl.read_csv(
                body, has_header=False, schema=schema, columns=[at for at, _ in kept], quote_char=None,
                ignore_errors=True, truncate_ragged_lines=True, encoding="utf8-lossy",
            )  # fmt: skip
        except pl.exceptions.PolarsError as error:
            raise InputError(f"{self.file.path}: expected lines of {self.layout.data_set}, found {error}") from None
        raw = raw.rename({f"column_{at + 1}": name for at, name in kept}).with_columns(_exactly(pl.col(pl.String)))
        rows = raw.with_columns(
            file_row=pl.int_range(first_row, first_row + len(raw), dtype=pl.Int64),
            traded_ms=_milliseconds("traded"),
            pushed_ms=_milliseconds("pushed") if "pushed" in raw.columns else pl.lit(None, dtype=pl.Int64),
        )
        return self._complete(rows), len(raw)

    def _complete(self, rows: pl.DataFrame) -> Chunk:
        schema = segment_schema(self.layout.stream)
        known: dict[str, pl.Expr] = {}
        if "update_id" in schema.names():
            known = {f"{side}_depth": pl.lit(1, dtype=pl.Int64) for side in ("bid", "ask")}
        lacking = {name: pl.lit(None, dtype=schema[name]) for name in schema if name not in rows.columns}
        frame = rows.with_columns(**(lacking | known))
        return judged(frame, self.layout.stream, self._named_span())

    def _named_span(self) -> tuple[int, int] | None:
        """Return the time that rows may have, by the file's name: a day more on either side."""
        if self.name is None:
            return None
        start_ms, end_ms = self.name.span_ms
        return start_ms - DAY_MS, end_ms + DAY_MS


def open_archive(file: InputFile, symbol: str | None = None) -> ArchiveFile:
    """Look at a file's name and first lines and return what it is.

    Args:
        file: the file.
        symbol: the symbol, where the name does not say it.

    Raises:
        InputError: it is no file of the archive, its name contradicts its content, or nothing says which symbol it is of.
    """
    member = file.member_name()
    name = _agreed_name(file, member)
    lines = _first_lines(file)
    header = bool(lines) and is_header(lines[0])
    data = lines[1:] if header else lines
    if not data:
        raise InputError(f"{file.path}: expected rows, found {'only a header' if header else 'an empty file'}")
    layout = find_layout(data)
    if layout is None:
        raise InputError(f"{file.path}: expected rows of aggTrades, trades or bookTicker, found {shown(data[0])!r}")
    if name is not None and name.data_set != layout.data_set:
        raise InputError(f"{file.path}: expected {name.data_set} as its name says, found rows of {layout.data_set}")
    if name is not None and symbol is not None and symbol != name.symbol:
        raise InputError(f"{file.path}: expected {symbol} as --symbol says, found {name.symbol} in its name")
    found = symbol or (name.symbol if name else None)
    if found is None:
        raise InputError(
            f"{file.path}: expected a name such as BTCUSDT-{layout.data_set}-2024-01-05.zip; give --symbol"
        )
    return ArchiveFile(file, layout, found, name)


def _agreed_name(file: InputFile, member: str | None) -> ArchiveName | None:
    outer = parse_name(file.path.name)
    inner = parse_name(PurePath(member).name) if member else None
    if outer and inner and outer != inner:
        raise InputError(f"{file.path}: expected a member of the same name, found {shown(member or '')!r}")
    return outer or inner


def _first_lines(file: InputFile) -> list[bytes]:
    """Return the first lines of a file, without reading more than a chunk."""
    for chunk in file.chunks():
        lines = chunk[: 512 * _LOOKED_AT].splitlines()
        return [line for line in lines[: _LOOKED_AT + 1] if line.strip()]
    return []


def _first_line(data: bytes) -> bytes:
    return data[: data.find(b"\n")] if b"\n" in data else data


def _type(name: str) -> pl.DataType:
    if name in {"trade_id", "update_id", "traded", "pushed"}:
        return pl.Int64()
    if name == "buyer_is_maker":
        return pl.Boolean()
    return pl.Decimal(38, 8) if name else pl.String()


def _exactly(texts: pl.Expr) -> pl.Expr:
    """Return numbers that came as text, null where eight decimals cannot hold them."""
    return pl.when(~texts.str.contains(_TOO_PRECISE.pattern.decode())).then(texts).cast(pl.Decimal(38, 8), strict=False)


def _milliseconds(column: str) -> pl.Expr:
    return pl.when(pl.col(column) >= _FIRST_US).then(pl.col(column).floordiv(1000)).otherwise(pl.col(column))
