"""The run that a dataset tells of by itself: the recorded span, and the symbols that are there."""

from __future__ import annotations

from collections.abc import Mapping

from ofi_cvd.common.times import MINUTE_MS, hour_of
from ofi_cvd.dataset.reader import Dataset
from ofi_cvd.quality import queries
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings
from ofi_cvd.spool.layout import list_files


def stored_window(dataset: Dataset, settings: Settings, symbols: tuple[str, ...] | None = None) -> Window | None:
    """Return the recorded span; None if there are neither data nor ledger.

    It is the whole minutes between the recorder's first and last sign of life, or without a ledger those between the
    first and the last row (less than a minute: whole seconds).

    Args:
        dataset: opened with the spool, for the ledger.
        settings: where the spool is.
        symbols: those of the run, by default the symbols that are there.
    """
    symbols = symbols or stored_symbols(dataset, settings)
    span = dataset.read(lambda connection: queries.load("recorded_span").run(connection, {})).row(0, named=True)
    window = None if span["first_ms"] is None else _window(span["first_ms"], span["last_ms"], symbols)
    if window is None and (stored := _stored_span(dataset)) is not None:
        window = _window(stored["first_ms"], stored["last_ms"] + 1, symbols)
    return window


def stored_symbols(dataset: Dataset, settings: Settings) -> tuple[str, ...]:
    """Return the symbols of the spool and of the dataset; those of the settings if there are none at all."""
    recorded = {file.symbol for file in list_files(settings.spool_dir)}
    return tuple(sorted(recorded | {part.symbol for part in dataset.parts()})) or settings.symbols


def first_seconds(settings: Settings, symbols: tuple[str, ...]) -> dict[str, int]:
    """Return each symbol's first grid second in the whole dataset, wherever a window begins."""
    with Dataset(settings.data_dir, symbols=set(symbols)) as dataset:
        starts: dict[str, int] = {}
        for part in dataset.parts("prices"):
            starts[part.symbol] = min(starts.get(part.symbol, part.start_ms), part.start_ms)
    found: dict[str, int] = {}
    for start_ms in sorted(set(starts.values())):
        own = {symbol for symbol, first_ms in starts.items() if first_ms == start_ms}
        with Dataset(settings.data_dir, symbols=own, start_ms=start_ms, end_ms=start_ms + 1, whole_hours=True) as first:
            rows = first.read(lambda connection: queries.load("first_trades").run(connection, {})).to_dicts()
        found |= {str(row["symbol"]): int(row["first_ms"]) for row in rows}
    return found


def _window(first_ms: int, last_ms: int, symbols: tuple[str, ...]) -> Window | None:
    """Return the whole minutes in between, or the whole seconds around a span that has none."""
    start_ms, end_ms = -(-first_ms // MINUTE_MS) * MINUTE_MS, (last_ms + 999) // MINUTE_MS * MINUTE_MS
    if start_ms >= end_ms:
        start_ms, end_ms = first_ms // 1000 * 1000, -(-last_ms // 1000) * 1000
    return Window(start_ms, end_ms, symbols) if start_ms < end_ms else None


def _stored_span(dataset: Dataset) -> Mapping[str, int] | None:
    """Return the first and the last time of a row: only the first and the last hour are read."""
    starts = [part.start_ms for part in dataset.parts("prices", "ofi")]
    if not starts:
        return None
    ends = []
    for at_ms in (min(starts), max(starts)):
        with Dataset(dataset.path, start_ms=hour_of(at_ms), end_ms=at_ms + 1, whole_hours=True) as part:
            answer = part.read(lambda connection: queries.load("stored_span").run(connection, {}))
        ends.append(answer.row(0, named=True))
    return {"first_ms": ends[0]["first_ms"], "last_ms": ends[-1]["last_ms"]}
