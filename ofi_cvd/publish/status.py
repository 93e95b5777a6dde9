"""What is recorded, what is published, what is missing: the figures of `ofi status`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ofi_cvd.errors import InputError
from ofi_cvd.publish import checkpoint
from ofi_cvd.publish.checkpoint import SymbolEntry
from ofi_cvd.schemas import Kind
from ofi_cvd.settings import Settings
from ofi_cvd.spool.layout import list_files, list_hours, no_spool
from ofi_cvd.spool.reader import last_receipt_ns, plain_size


@dataclass
class SymbolStatus:
    """One symbol's figures; times in UTC ms, None where there is nothing.

    Attributes:
        spool_bytes: plain bytes recorded of the two streams that are built.
        recorded_from_ms, recorded_to_ms: the first hour, the last receipt.
        published_from_ms, published_to_ms: what slices cover.
        rows: published rows by kind.
        final_hours, open_hours: published hours that only repairs can change, and others.
        unread_bytes: recorded since the last build.
        missing_hours: hours with recordings between the first and the last that no slice covers.
        trade_ids_missing: unrepaired trade ids missing.
        refused: lines that could not be read, by reason.
        objections: trades not admitted, by reason.
    """

    spool_bytes: int = 0
    recorded_from_ms: int | None = None
    recorded_to_ms: int | None = None
    published_from_ms: int | None = None
    published_to_ms: int | None = None
    rows: dict[Kind, int] = field(default_factory=dict)
    final_hours: int = 0
    open_hours: int = 0
    unread_bytes: int = 0
    missing_hours: int = 0
    trade_ids_missing: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    objections: dict[str, int] = field(default_factory=dict)


def status(settings: Settings) -> dict[str, SymbolStatus]:
    """Return the figures of every symbol of the settings.

    Raises:
        InputError: there is neither a spool nor a dataset.
        SpoolError: a sealed file cannot be read.
        PublishError: the checkpoint cannot be read.
    """
    known = checkpoint.load(settings.state_dir)
    if known is None and not list_hours(settings.spool_dir):
        raise InputError(no_spool(settings.spool_dir))
    entries = known.symbols if known else {}
    return {symbol: _of(symbol, settings, entries.get(symbol, SymbolEntry())) for symbol in settings.symbols}


def _of(symbol: str, settings: Settings, entry: SymbolEntry) -> SymbolStatus:
    found = SymbolStatus()
    recorded: set[int] = set()
    files = list_files(settings.spool_dir, symbols=[symbol], streams={settings.trade_stream, settings.source})
    for file in files:
        size = plain_size(file)
        source = entry.sources.get(f"{file.hour_ms}/{file.name}")
        found.spool_bytes += size
        found.unread_bytes += size - (source.size if source else 0)
        recorded.add(file.hour_ms)
    if recorded:
        newest = [file for file in files if file.hour_ms == max(recorded) and not file.repair]
        receipts = [ns // 1_000_000 for file in newest if (ns := last_receipt_ns(file)) is not None]
        found.recorded_from_ms, found.recorded_to_ms = min(recorded), max(receipts, default=max(recorded))
    for source in entry.sources.values():
        _add(found.refused, source.refused)
    for hour in entry.hours.values():
        found.final_hours += hour.final
        found.open_hours += not hour.final
        found.trade_ids_missing += sum(gap.missing for gap in hour.id_gaps)
        _add(found.objections, hour.reject_reasons)
        for one in hour.slices.values():
            for kind, rows in one.rows.items():
                found.rows[kind] = found.rows.get(kind, 0) + rows
    starts = [start for hour in entry.hours.values() for start in hour.slices]
    if starts:
        found.published_from_ms = min(starts)
        found.published_to_ms = max(one.end_ms for hour in entry.hours.values() for one in hour.slices.values())
    found.missing_hours = len(
        [at for at in recorded if not entry.hours or not (at in entry.hours and entry.hours[at].slices)]
    )
    return found


def _add(total: dict[str, int], more: dict[str, int]) -> None:
    for reason, count in more.items():
        if count:
            total[reason] = total.get(reason, 0) + count
