"""What a recorder looks like on a terminal: rates, lag, gaps per symbol, redrawn every second."""

from __future__ import annotations

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.common.terminal import table

REFRESH_S = 1.0


def panel(stats: RecorderStats) -> Group:
    """Return the panel for the counters as they are."""
    listing = table("Recording", "symbol", "stream", ">frames/s", ">frames", ">silent s", ">p50 ms", ">p99 ms",
                    ">gaps", ">missing", ">repaired", ">dropped")  # fmt: skip
    for (symbol, stream), row in sorted(stats.streams.items()):
        p50, p99 = row.latency_ms.quantile(0.5), row.latency_ms.quantile(0.99)
        listing.add_row(
            symbol, stream, f"{row.rate:.1f}", str(row.received), _number(row.silence_s, 1), _number(p50), _number(p99),
            str(row.gaps + row.breaks), str(row.missing), str(row.repaired), str(row.dropped),
        )  # fmt: skip
    return Group(_listing(listing), Text(_summary(stats), style="bold red" if stats.write_errors else ""))


def _listing(listing: Table) -> Table:
    listing.expand = False
    return listing


def _summary(stats: RecorderStats) -> str:
    durable, offset = stats.durable_ms.quantile(0.99), stats.clock_offset_ms
    line = (
        f"connections {stats.connections}  reconnects {stats.reconnects}  rotations {stats.rotations}  "
        f"on disk within {_number(durable)} ms (p99)  queue {stats.queue_frames}  "
        f"duplicates {stats.total('duplicates')}  clock offset {_number(offset, 1)} ms"
    )
    if stats.write_errors:
        line += f"  DISK REFUSES: {stats.write_errors} errors, {stats.retained_bytes / 2**20:.1f} MB in memory"
    return line


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def wants_panel(console: Console) -> bool:
    """Return whether a person is looking."""
    return console.is_terminal and not console.is_dumb_terminal
