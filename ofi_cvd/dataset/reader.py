"""The published dataset as a researcher meets it: lazy frames, DuckDB views, one-line SQL and the helpers of research.

A reader never sees a row twice or not at all while `ofi compact` or a build runs: lazy frames find their files when they
are collected (`ofi_cvd.dataset.scan`); `Dataset.sql` and `Dataset.read` compare the list of files before and after, and
read again if a file they used was replaced meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Self

import polars as pl

from ofi_cvd.dataset import describe, scan
from ofi_cvd.dataset.queries import Queries
from ofi_cvd.dataset.research import Research
from ofi_cvd.dataset.times import Span, When, to_ms
from ofi_cvd.errors import InputError
from ofi_cvd.publish.parts import Part, current_parts, parameters_of
from ofi_cvd.schemas import KINDS, TABLES, Kind


def open_dataset(
    path: str | Path = "data/ofi_cvd",
    *,
    missing_ok: bool = False,
    start: When | None = None,
    end: When | None = None,
    symbols: Collection[str] | None = None,
    spool: str | Path | None = None,
) -> Dataset:
    """Open a published dataset.

    Args:
        path: the dataset (`DATA_DIR`).
        missing_ok: take a folder that is empty or not there as a dataset without rows, as a program does that
            starts before the first rows are published.
        start: first instant, included: ISO text or a datetime (naive means UTC), or milliseconds. None: from the first.
        end: last instant, excluded. None: to the last.
        symbols: only these; None for all.
        spool: the spool, for the `ledger` view; without it that view is empty.

    Raises:
        InputError: the folder holds no part of a dataset, or the path is a file.
        UsageError: a time that cannot be read, or a start that is not before the end.

    Example:
        >>> from ofi_cvd import open_dataset
        >>> from ofi_cvd.dataset.sample import SAMPLE_DIR
        >>> dataset = open_dataset(SAMPLE_DIR, start="2026-01-05 00:05", end="2026-01-05 00:06")
        >>> dataset.fusion.select("ts_ms").collect().height
        120
    """
    opened = Dataset(
        Path(path),
        Path(spool) if spool else None,
        symbols=symbols,
        start_ms=to_ms(start, "start"),
        end_ms=to_ms(end, "end"),
    )
    if not missing_ok and not opened.is_dataset():
        opened.close()
        raise InputError(
            f"{path}: expected a published dataset (date=.../symbol=.../kind=.../part-*.parquet), found "
            f"{'no part of one' if Path(path).is_dir() else 'no such folder'}; `ofi build` makes one, "
            f"missing_ok=True takes it as empty"
        )
    return opened


class Dataset(Queries, Research):
    """Five tables and the ledger; made by `open_dataset`. Close it, or use it as a context manager.

    The frames have the columns of the data dictionary in file order, then `date` (the folder's day). Filters on `symbol`
    and `date` skip files. A lazy frame that was made before `ofi compact` ran still collects after it.

    Attributes:
        path: the folder.
        spool: the spool whose ledger is shown, or None.

    Example:
        >>> from ofi_cvd import open_sample
        >>> with open_sample() as dataset:
        ...     dataset.events.collect_schema().names()[:4]
        ['ts_ms', 'symbol', 'event_type', 'meta_json']
    """

    def __init__(
        self,
        path: Path,
        spool: Path | None = None,
        *,
        symbols: Collection[str] | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        whole_hours: bool = False,
    ) -> None:
        """Open the folder; `whole_hours` shows every row of the hours that the window touches."""
        if path.exists() and not path.is_dir():
            raise InputError(f"{path}: expected the folder of a dataset, found a file")
        if start_ms is not None and end_ms is not None and start_ms >= end_ms:
            raise InputError(f"start and end: expected a start before the end, found {start_ms} and {end_ms}")
        self.path, self.spool = path, spool
        self._symbols, self._start_ms, self._end_ms = symbols, start_ms, end_ms
        self._whole_hours = whole_hours
        self._open_views()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        """Say what is in it: symbols, span, rows and parameters."""
        rows: dict[str, int] = {kind: int(self.frame(kind).select(pl.len()).collect().item()) for kind in KINDS}
        facts = describe.facts_of(self.parts())
        return describe.describe(str(self.path), self.symbols(), self.span(), rows, facts)

    @property
    def prices(self) -> pl.LazyFrame:
        """One row per trade."""
        return self.frame("prices")

    @property
    def ofi(self) -> pl.LazyFrame:
        """One row per bucket of order-flow imbalance."""
        return self.frame("ofi")

    @property
    def cvd(self) -> pl.LazyFrame:
        """One row per trade: cumulative volume delta."""
        return self.frame("cvd")

    @property
    def fusion(self) -> pl.LazyFrame:
        """One row per second with an `ofi` row."""
        return self.frame("fusion")

    @property
    def events(self) -> pl.LazyFrame:
        """One row per event, its facts as JSON text; `event_table` has them as fields."""
        return self.frame("events")

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters the dataset was built with, by setting name; empty if its parts do not say.

        They come from the parts, never from the settings of today.

        Raises:
            InputError: the parts disagree.

        Example:
            >>> from ofi_cvd import open_sample
            >>> open_sample().parameters["BUCKET_MS"]
            1000
        """
        return parameters_of(self.path, symbols=self._symbols)

    def symbols(self) -> list[str]:
        """Return the symbols that have parts in the window, sorted.

        Example:
            >>> from ofi_cvd import open_sample
            >>> open_sample().symbols()
            ['ADAUSDT', 'BNBUSDT']
        """
        return sorted({part.symbol for part in self.parts()})

    def span(self) -> Span | None:
        """Return the interval `[start_ms, end_ms)` of the rows; None if there is no row.

        Example:
            >>> from ofi_cvd import open_sample
            >>> print(open_sample().span())
            2026-01-05 00:00:00 to 2026-01-05 00:12:00 UTC
        """
        return describe.span_of(self.parts(), self._window())

    def is_dataset(self) -> bool:
        """Return whether the folder has parts of a dataset, in the window or not."""
        return bool(self.parts()) or bool(current_parts(self.path))

    def parts(self, *kinds: Kind) -> list[Part]:
        """Return the files that make up the dataset now (of the given kinds), by path; whole hours of the window."""
        return current_parts(
            self.path,
            kinds=kinds or KINDS,
            symbols=self._symbols,
            start_ms=self._start_ms,
            end_ms=self._end_ms,
        )

    def frame(self, kind: Kind, *, time: bool = False) -> pl.LazyFrame:
        """Return one table as a lazy frame over the files of the moment it is collected.

        Args:
            kind: the table.
            time: put `time` in front, the UTC datetime of `ts_ms`.

        Raises:
            RunError: (when collected) files kept being replaced.

        Example:
            >>> from ofi_cvd import open_sample
            >>> open_sample().frame("fusion", time=True).collect_schema().names()[:3]
            ['time', 'ts_ms', 'symbol']
        """
        schema = pl.Schema({**TABLES[kind].schema, "date": pl.Date()})
        rows = scan.scan_table(lambda: self.parts(kind), schema, self._window())
        return self.with_time(rows) if time else rows

    def _window(self) -> pl.Expr | None:
        """Return which rows belong to the window; None for all."""
        bounds = [pl.col("ts_ms") >= self._start_ms] if self._start_ms is not None else []
        bounds += [pl.col("ts_ms") < self._end_ms] if self._end_ms is not None else []
        return None if self._whole_hours or not bounds else pl.all_horizontal(bounds)
