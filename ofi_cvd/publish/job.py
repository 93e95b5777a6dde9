"""What a command asks of one symbol: which slices of an hour it wants, and which of them are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.publish.checkpoint import HourEntry, SymbolEntry
from ofi_cvd.publish.parse_cache import ParseCache
from ofi_cvd.publish.slices import Window, are_published
from ofi_cvd.settings import Settings

EVERYTHING: Final = Window()


@dataclass(frozen=True)
class Job:
    """What to build of one symbol.

    Attributes:
        slice_secs: length of new slices.
        window: which slices to publish; hours before it are computed for their state alone.
        live: publish a slice only once the spool holds receipts GRACE_SECS past its end.
        rebuild: compute and publish the hours of the window again.
    """

    symbol: str
    settings: Settings
    slice_secs: int = 3600
    window: Window = EVERYTHING
    live: bool = False
    rebuild: bool = False


def horizon_ms(job: Job, entry: SymbolEntry) -> int:
    """Return up to when frames are in: what was received GRACE_SECS ago is complete."""
    return entry.last_recv_ms - round(job.settings.grace_secs * 1000)


def slice_starts(job: Job, entry: SymbolEntry, hour_ms: int, hour: HourEntry) -> list[int]:
    """Return the starts of the slices that the command asks for and the hour can have.

    An hour's rows are known up to its end once it is final; before that up to the last event, or to the horizon where the
    command waits for late frames.
    """
    end_ms, step = hour_ms + HOUR_MS, hour.slice_secs * 1000
    until = end_ms if hour.final else min(end_ms, horizon_ms(job, entry) if job.live else entry.last_event_ms)
    starts = range(hour_ms, min(end_ms, until + 1), step)
    return [at for at in starts if job.window.has(at, at + step) and (not job.live or at + step <= until)]


def without_parts(job: Job, entry: SymbolEntry, cache: ParseCache | None) -> set[int]:
    """Return the hours that lack a slice which is asked for, or whose recorded parts are not there."""
    return {hour_ms for hour_ms, hour in entry.hours.items() if not _is_published(job, entry, hour_ms, hour, cache)}


def _is_published(job: Job, entry: SymbolEntry, hour_ms: int, hour: HourEntry, cache: ParseCache | None) -> bool:
    """Return whether every slice that the command asks for and the hour can have is published, and still there."""
    if not all(at in hour.slices for at in slice_starts(job, entry, hour_ms, hour)):
        return False
    if cache is not None and hour.final and (job.symbol, hour_ms) in cache.intact:
        return True
    if not are_published(hour, job.settings.data_dir, job.symbol, hour_ms):
        return False
    if cache is not None:
        cache.intact.add((job.symbol, hour_ms))
    return True
