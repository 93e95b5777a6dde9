"""Every figure of a report: files of `sql/`, run together so that they see the same files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from ofi_cvd.dataset.reader import Dataset
from ofi_cvd.quality import queries
from ofi_cvd.quality.merged import few_files
from ofi_cvd.quality.published import Published, published_slices
from ofi_cvd.quality.received import Unbuilt, received_values, silent_streams, unbuilt
from ofi_cvd.quality.span import first_seconds
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings

GATES: Final = (
    "rows", "empty_minutes", "book_minutes", "rows_by_hour", "slices_missing", "slices_wrong", "duplicates_stored",
    "duplicates_dropped", "trade_ids", "latency", "clock", "signals", "winsor", "not_finite", "coverage_scene",
    "coverage_session", "slowest_window", "book_breaks", "ledger_events",
)  # fmt: skip
CHARTS: Final = (
    "trades_timeline", "latency_timeline", "clock_timeline", "z_distribution", "price_timeline", "cvd_timeline",
    "events_timeline", "outages",
)  # fmt: skip
RECEIVED_HOURS: Final = 6.0

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Figures:
    """Answers by query name.

    Attributes:
        received: `duplicates_received`; None if the spool was not asked.
        absent: `absent_ids`; None if no id is absent or there is no spool to ask.
        unbuilt: clock hours with frames in the spool and no row of a table.
        silent: `(symbol, stream)` asked for without one frame in the window.
        first_ms: each symbol's first grid second in the dataset.
    """

    answers: Mapping[str, pl.DataFrame]
    published: Published
    received: pl.DataFrame | None = None
    absent: pl.DataFrame | None = None
    unbuilt: Sequence[Unbuilt] = ()
    silent: Sequence[tuple[str, str]] = ()
    first_ms: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> pl.DataFrame:
        return self.answers[name]

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return an answer as plain rows."""
        return self.answers[name].to_dicts()

    def by_symbol(self, name: str) -> dict[str, Row]:
        """Return the rows of an answer that has one per symbol."""
        return {str(row["symbol"]): row for row in self.rows(name)}

    def counts(self) -> dict[str, dict[str, int]]:
        """Return rows by symbol and table."""
        found: dict[str, dict[str, int]] = {}
        for row in self.rows("rows"):
            found.setdefault(row["symbol"], {})[row["kind"]] = row["n"]
        return found


def gather(
    dataset: Dataset,
    window: Window,
    settings: Settings,
    *,
    state_dir: Path | None = None,
    charts: bool = True,
    received: bool | None = None,
) -> Figures:
    """Run the queries of a report.

    Args:
        dataset: opened with the spool, for the ledger; it should list no more than the window's files.
        window: the run.
        settings: thresholds and names.
        state_dir: where the checkpoint is, by default `STATE_DIR`.
        charts: also what only charts need.
        received: read the spool's raw trades to count received duplicates; by default for windows up to six hours.

    Raises:
        PublishError: the checkpoint cannot be read.
        RunError: files kept being replaced while they were read.
    """
    wanted = GATES + (CHARTS if charts else ())

    def ask(connection: duckdb.DuckDBPyConnection) -> tuple[Published, dict[str, pl.DataFrame]]:
        published = published_slices(dataset, state_dir or settings.state_dir, window)
        values = window.values(settings) | published.values()
        return published, run_all(connection, wanted, values)

    with few_files(dataset) as few:
        published, answers = few.read(ask)
    values = window.values(settings) | received_values(settings, window)
    wants_received = window.hours <= RECEIVED_HOURS if received is None else received
    wants_absent = (answers["trade_ids"]["ids_absent"] > 0).any()
    return Figures(
        answers,
        published,
        _from_spool(dataset, "duplicates_received", values) if wants_received else None,
        _from_spool(dataset, "absent_ids", values) if wants_absent else None,
        *_lost(answers["rows_by_hour"].to_dicts(), window, settings),
        first_seconds(settings, window.symbols),
    )


def _lost(
    rows: list[dict[str, Any]], window: Window, settings: Settings
) -> tuple[list[Unbuilt], list[tuple[str, str]]]:
    """Return what the spool has and no table shows, and the streams asked for that the spool does not have at all."""
    found = [one for hour in rowless_hours(rows, window) for one in unbuilt(settings, *hour)]
    streams = {"prices": settings.trade_stream, "ofi": settings.source}
    heard = {(str(row["symbol"]), streams[row["kind"]]) for row in rows if row["kind"] in streams}
    return found, silent_streams(settings, window, heard)


def rowless_hours(rows: Iterable[Row], window: Window) -> Iterator[tuple[str, int, int, tuple[str, ...]]]:
    """Yield `(symbol, start_ms, end_ms, tables)` of each clock hour of the window in which tables have no row.

    Args:
        rows: the answer of `sql/rows_by_hour.sql`.
        window: the run.
    """
    kinds: dict[tuple[str, int], set[str]] = {}
    for row in rows:
        kinds.setdefault((row["symbol"], row["hour_ms"]), set()).add(row["kind"])
    for symbol in window.symbols:
        for hour_ms, start_ms, end_ms in window.clock_hours():
            there = kinds.get((symbol, hour_ms), set())
            absent = tuple(kind for kind in ("prices", "cvd", "ofi", "fusion") if kind not in there)
            if absent:
                yield symbol, start_ms, end_ms, absent


def run_all(
    connection: duckdb.DuckDBPyConnection, names: Iterable[str], values: Mapping[str, object]
) -> dict[str, pl.DataFrame]:
    """Return the answers of several queries with the same values."""
    return {name: queries.load(name).run(connection, values) for name in names}


def _from_spool(dataset: Dataset, name: str, values: Mapping[str, object]) -> pl.DataFrame | None:
    """Return the answer of a query over the spool's raw lines; None if there are none."""
    if not values["files"]:
        return None
    return dataset.read(lambda connection: queries.load(name).run(connection, values))
