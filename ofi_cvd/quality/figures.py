"""Every figure of a report: files of `sql/`, run together so that they see the same files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from ofi_cvd.dataset.reader import Dataset
from ofi_cvd.quality import queries
from ofi_cvd.quality.published import Published, published_slices
from ofi_cvd.quality.received import received_values
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings

GATES: Final = (
    "rows", "empty_minutes", "slices_missing", "slices_wrong", "duplicates_stored", "trade_ids", "latency", "clock",
    "signals", "winsor", "not_finite", "coverage_scene", "coverage_session", "slowest_window", "book_breaks",
    "ledger_events",
)  # fmt: skip
CHARTS: Final = (
    "trades_timeline", "latency_timeline", "clock_timeline", "z_distribution", "price_timeline", "cvd_timeline",
    "events_timeline",
)  # fmt: skip
RECEIVED_HOURS: Final = 6.0

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Figures:
    """Answers by query name.

    Attributes:
        received: `duplicates_received`; None if the spool was not asked.
        absent: `absent_ids`; None if no id is absent or there is no spool to ask.
    """

    answers: Mapping[str, pl.DataFrame]
    published: Published
    received: pl.DataFrame | None = None
    absent: pl.DataFrame | None = None

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

    published, answers = dataset.read(ask)
    values = window.values(settings) | received_values(settings, window)
    wants_received = window.hours <= RECEIVED_HOURS if received is None else received
    wants_absent = (answers["trade_ids"]["ids_absent"] > 0).any()
    return Figures(
        answers,
        published,
        _from_spool(dataset, "duplicates_received", values) if wants_received else None,
        _from_spool(dataset, "absent_ids", values) if wants_absent else None,
    )


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
