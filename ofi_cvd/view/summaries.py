"""Hours remembered within a bound, and read again when their files change."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from ofi_cvd.common.times import hour_of
from ofi_cvd.dataset.describe import span_of
from ofi_cvd.dataset.scan import scan_parts
from ofi_cvd.errors import RunError
from ofi_cvd.publish.parts import Part, current_parts
from ofi_cvd.schemas import TABLES, Kind
from ofi_cvd.view.buckets import NEEDED, needed
from ofi_cvd.view.grid import LEVELS_MS
from ofi_cvd.view.hours import Hour, read_hours

_BATCH: Final = 12
_READS: Final = 20
_KEPT: Final = {LEVELS_MS[0]: 60, LEVELS_MS[1]: 1_500, LEVELS_MS[2]: 40_000}
"""Symbol-hours kept at each level: about 45, 110 and 100 MB at the most."""

Key = tuple[str, int]


class Summaries:
    """The hours of a dataset by symbol, with the finer levels of those used last."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._sources: dict[Key, tuple[Part, ...]] = {}
        self._hours: OrderedDict[Key, Hour] = OrderedDict()
        self._levels: dict[int, OrderedDict[Key, pl.DataFrame]] = {level: OrderedDict() for level in LEVELS_MS}

    def hours(self, symbol: str, start_ms: int, end_ms: int, levels: Collection[int]) -> dict[int, Hour]:
        """Return the hours that `[start_ms, end_ms)` touches, by start, each with its buckets at these levels.

        Raises:
            RunError: files kept being replaced.
        """
        for _ in range(_READS):
            current = self._listed(symbol, start_ms, end_ms)
            due = [hour for hour, parts in current.items() if not self._has((symbol, hour), parts, levels)]
            try:
                for at in range(0, len(due), _BATCH):
                    self._load(symbol, {hour: current[hour] for hour in due[at : at + _BATCH]}, min(levels))
            except (OSError, pl.exceptions.ComputeError):
                if self._listed(symbol, start_ms, end_ms) == current:
                    raise
                continue
            found = {hour: (symbol, hour) for hour in sorted(current) if (symbol, hour) in self._hours}
            return {
                hour: replace(self._hours[key], levels={level: self._levels[level][key] for level in levels})
                for hour, key in found.items()
            }
        raise RunError(f"{self._data_dir}: expected files that stay for one read, found them replaced {_READS} times")

    def rows(self, symbol: str, kind: Kind, start_ms: int, end_ms: int) -> pl.DataFrame:
        """Return the rows of a table in `[start_ms, end_ms)`, with the columns that the page needs."""
        columns = needed(kind) if kind in NEEDED else TABLES[kind].schema.names()
        if kind == "prices":
            columns = [*columns, "agg_trade_id"]
        within = (pl.col("ts_ms") >= start_ms) & (pl.col("ts_ms") < end_ms)
        for _ in range(_READS):
            parts = current_parts(self._data_dir, kinds=(kind,), symbols={symbol}, start_ms=start_ms, end_ms=end_ms)
            try:
                return _scan(parts, kind).filter(within).select(columns).collect()
            except (OSError, pl.exceptions.ComputeError):
                again = current_parts(self._data_dir, kinds=(kind,), symbols={symbol}, start_ms=start_ms, end_ms=end_ms)
                if again == parts:
                    raise
        raise RunError(f"{self._data_dir}: expected files that stay for one read, found them replaced {_READS} times")

    def every(self, symbol: str, kind: Kind, columns: Sequence[str]) -> pl.DataFrame:
        """Return columns of all rows of a symbol's table, in time order."""
        for _ in range(_READS):
            parts = self._parts(symbol, kind)
            try:
                return _scan(parts, kind).select(columns).collect()
            except (OSError, pl.exceptions.ComputeError):
                if self._parts(symbol, kind) == parts:
                    raise
        raise RunError(f"{self._data_dir}: expected files that stay for one read, found them replaced {_READS} times")

    def count(self, symbol: str, kind: Kind) -> int:
        """Return how many files a symbol's table has."""
        return len(self._parts(symbol, kind))

    def symbols(self) -> list[str]:
        """Return the symbols that have parts, sorted."""
        return sorted({part.symbol for part in current_parts(self._data_dir, kinds=("prices", "ofi"))})

    def span(self, symbol: str) -> tuple[int, int]:
        """Return the first instant of a symbol's rows and the one after its last; equal without rows."""
        parts = current_parts(self._data_dir, kinds=("prices", "ofi"), symbols={symbol})
        found = span_of(parts, None)
        return (0, 0) if found is None else (found.start_ms, found.end_ms)

    def version(self, symbol: str) -> str:
        """Return a text that changes when a part of the symbol's newest day does."""
        newest = max((part.start_ms for part in self._parts(symbol, "prices", "ofi")), default=0)
        parts = current_parts(self._data_dir, symbols={symbol}, start_ms=hour_of(newest))
        return format(zlib.crc32(repr(parts).encode()), "08x")

    def _parts(self, symbol: str, *kinds: Kind) -> list[Part]:
        return current_parts(self._data_dir, kinds=kinds, symbols={symbol})

    def _listed(self, symbol: str, start_ms: int, end_ms: int) -> dict[int, tuple[Part, ...]]:
        parts = current_parts(
            self._data_dir,
            kinds=("prices", "cvd", "ofi", "fusion"),
            symbols={symbol},
            start_ms=hour_of(start_ms),
            end_ms=end_ms,
        )
        found: dict[int, list[Part]] = {}
        for part in parts:
            found.setdefault(hour_of(part.start_ms), []).append(part)
        return {hour: tuple(own) for hour, own in found.items()}

    def _has(self, key: Key, parts: tuple[Part, ...], levels: Collection[int]) -> bool:
        if self._sources.get(key) != parts:
            return False
        if key not in self._hours:
            return True  # files without rows
        if any(key not in self._levels[level] for level in levels):
            return False
        for level in levels:
            self._levels[level].move_to_end(key)
        return True

    def _load(self, symbol: str, parts: Mapping[int, Sequence[Part]], level: int) -> None:
        every = [part for own in parts.values() for part in own]
        kinds: tuple[Kind, ...] = ("prices", "cvd", "ofi", "fusion")
        tables = {kind: _scan([part for part in every if part.kind == kind], kind) for kind in kinds}
        found = read_hours(tables)
        for hour, own in parts.items():
            key = (symbol, hour)
            self._sources[key] = tuple(own)
            self._hours.pop(key, None)
            if hour in found:
                self._keep(key, found[hour], level)

    def _keep(self, key: Key, hour: Hour, level: int) -> None:
        """Remember an hour at `level` and every coarser one, and forget what was used longest ago."""
        self._hours[key] = replace(hour, levels={})
        for width, kept in self._levels.items():
            kept.pop(key, None)
            if width >= level:
                kept[key] = hour.levels[width]
            while len(kept) > _KEPT[width]:
                kept.popitem(last=False)


def _scan(parts: Sequence[Part], kind: Kind) -> pl.LazyFrame:
    paths = [part.path for part in sorted(parts, key=lambda part: part.start_ms)]
    return scan_parts(paths, TABLES[kind].schema)
