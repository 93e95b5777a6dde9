"""What a recorder looks like on a terminal: price, rate, lag and gaps per stream, disk and time left, redrawn every second."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ofi_cvd.binance.prices import trade_price
from ofi_cvd.collect.stats import RecorderStats, StreamStats
from ofi_cvd.common.terminal import table

REFRESH_S = 1.0
WIDE: Final = 118
_COLUMNS: Final = ("symbol", "stream", ">price", ">frames/s", ">silent s", ">p99 ms", ">missing")
_WIDE_COLUMNS: Final = (*_COLUMNS, ">dropped", ">frames", ">p50 ms", ">gaps", ">repaired")


@dataclass(frozen=True)
class Disk:
    """Bytes that the spool takes, and bytes that are free beside it."""

    used: int
    free: int

    @classmethod
    def of(cls, folder: Path) -> Disk:
        """Measure a folder that exists; a file that goes meanwhile counts nothing."""
        used = 0
        for path in folder.rglob("*"):
            try:
                used += path.lstat().st_size if path.is_file() else 0
            except FileNotFoundError:  # sealed meanwhile
                continue
        return cls(used, shutil.disk_usage(folder).free)


def panel(stats: RecorderStats, console: Console, *, left_s: float, disk: Disk | None) -> Group:
    """Return the panel for the counters as they are.

    Args:
        stats: the counters.
        console: where it is drawn; its width chooses the columns, its encoding the lines.
        left_s: seconds until the recording ends by itself.
        disk: as measured last; None before the first time.
    """
    is_wide = console.width >= WIDE
    listing = table("Recording", *(_WIDE_COLUMNS if is_wide else _COLUMNS), console=console)
    for (symbol, stream), row in sorted(stats.streams.items()):
        cells = _cells(row)
        listing.add_row(symbol, stream, *(cells if is_wide else cells[: len(_COLUMNS) - 2]))
    return Group(
        _listing(listing),
        Text(_summary(stats), style="bold red" if stats.write_errors else ""),
        Text(_ends(stats, left_s, disk)),
    )


def _listing(listing: Table) -> Table:
    listing.expand = False
    for column in listing.columns[:3]:
        column.no_wrap = True  # names and prices stay whole; headings may take two lines
    return listing


def _cells(row: StreamStats) -> list[str]:
    p50, p99 = row.latency_ms.quantile(0.5), row.latency_ms.quantile(0.99)
    price = trade_price(row.last_frame) if row.last_frame else ""
    return [
        price or "", f"{row.rate:.1f}", _number(row.silence_s, 1), _number(p99), str(row.missing), str(row.dropped),
        str(row.received), _number(p50), str(row.gaps + row.breaks), str(row.repaired),
    ]  # fmt: skip


def _summary(stats: RecorderStats) -> str:
    durable, offset = stats.durable_ms.quantile(0.99), stats.clock_offset_ms
    line = (
        f"connections {stats.connections}  reconnects {stats.reconnects}  rotations {stats.rotations}  "
        f"on disk within {_number(durable)} ms (p99)  queue {stats.queue_frames}  "
        f"dropped {stats.total('dropped')}  "
        f"duplicates {stats.total('duplicates')}  clock offset {_number(offset, 1)} ms"
    )
    if stats.write_errors:
        line += f"  DISK REFUSES: {stats.write_errors} errors, {stats.retained_bytes / 2**20:.1f} MB in memory"
    return line


def _ends(stats: RecorderStats, left_s: float, disk: Disk | None) -> str:
    line = f"{span(left_s)} left  "
    if disk is not None:
        line += f"spool {size(disk.used)}  free {size(disk.free)}  "
    if not stats.total("received"):
        line += "waiting for the first data  "
    return f"{line}Ctrl-C stops it cleanly"


def span(seconds: float) -> str:
    """Return a length of time in words, e.g. `2 d 03 h`, `1 h 05 min`, `4 min 09 s`."""
    whole = max(0, int(seconds))
    minutes, hours = whole // 60, whole // 3600
    if hours >= 24:
        return f"{hours // 24} d {hours % 24:02} h"
    if hours:
        return f"{hours} h {minutes % 60:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"


def size(count: int) -> str:
    """Return bytes in MB, or in GB from a thousand of them on."""
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def wants_panel(console: Console) -> bool:
    """Return whether a person is looking."""
    return console.is_terminal and not console.is_dumb_terminal
