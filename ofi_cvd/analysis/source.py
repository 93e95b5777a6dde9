"""The only door to the published tables: which parts there are, and one symbol's columns in time order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from ofi_cvd.dataset.forward import Price, quotes_of
from ofi_cvd.dataset.quotes import Quotes
from ofi_cvd.dataset.reader import open_dataset
from ofi_cvd.errors import InputError
from ofi_cvd.publish.parts import Part, current_parts
from ofi_cvd.schemas import Kind


@dataclass(frozen=True)
class Source:
    """A published dataset and a window `[start_ms, end_ms)` of it; None leaves a side open."""

    root: Path
    start_ms: int | None = None
    end_ms: int | None = None

    def choose(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """Return `wanted`, or every symbol of the dataset if it is empty.

        Raises:
            InputError: the dataset has no such symbol, or no part at all.
        """
        have = sorted({part.symbol for part in current_parts(self.root)})
        if not have:
            raise InputError(f"{self.root}: expected a published dataset (date=.../symbol=.../kind=...), found no part")
        missing = [symbol for symbol in wanted if symbol not in have]
        if missing:
            raise InputError(f"{self.root}: expected symbol {missing[0]}, found only {', '.join(have)}")
        return tuple(wanted) or tuple(have)

    def parts(self, symbols: Sequence[str]) -> list[Part]:
        """Return the parts that are read, by path."""
        return current_parts(self.root, symbols=symbols, start_ms=self.start_ms, end_ms=self.end_ms)

    def read(self, symbol: str, kind: Kind, columns: Sequence[str]) -> pl.DataFrame:
        """Return columns of one symbol's table in time order, the window applied; no rows where nothing is published."""
        with open_dataset(
            self.root, missing_ok=True, symbols=[symbol], start=self.start_ms, end=self.end_ms
        ) as dataset:
            rows = dataset.frame(kind).select(columns)
        return rows.sort("ts_ms", maintain_order=True).collect()

    def span(self, symbols: Sequence[str]) -> tuple[int, int]:
        """Return the first and last `ts_ms` of the window.

        Raises:
            InputError: the window holds no row of these symbols.
        """
        times: list[int] = []
        for symbol in symbols:
            for kind in ("ofi", "prices"):
                column = self.read(symbol, kind, ["ts_ms"]).get_column("ts_ms")
                times += [int(column[0]), int(column[-1])] if column.len() else []
        if not times:
            raise InputError(f"{self.root}: expected rows of {', '.join(symbols)} in the window, found none")
        return min(times), max(times)

    def fee_tier(self, symbol: str) -> str | None:
        """Return the symbol's last published fee tier; None if it has none."""
        for kind in ("fusion", "prices"):
            tiers = self.read(symbol, kind, ["ts_ms", "fee_tier"]).get_column("fee_tier").drop_nulls()
            if tiers.len():
                return str(tiers[-1])
        return None

    def quotes(self, symbol: str, price: Price, win_secs: int) -> Quotes:
        """Return the quotes to judge a symbol by: `ofi.mid` of each bucket, or the price of each trade."""
        return quotes_of(partial(self.read, symbol), price, win_secs)


def hashes(root: Path, parts: Sequence[Part]) -> list[dict[str, object]]:
    """Return path, size and SHA-256 of every part."""
    listing: list[dict[str, object]] = []
    for part in parts:
        with part.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        listing.append({"path": part.path.relative_to(root).as_posix(), "bytes": part.size, "sha256": digest})
    return listing


def fingerprints(parts: Sequence[Part]) -> list[str]:
    """Return the parameter fingerprints written in the parts; more than one means a mixed dataset."""
    found = {(pq.read_metadata(part.path).metadata or {}).get(b"params_fingerprint", b"none") for part in parts}
    return sorted(name.decode() for name in found)
