"""The run that is judged: a stretch of time and the symbols that should have been there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ofi_cvd.common.times import HOUR_MS, hour_label
from ofi_cvd.errors import UsageError
from ofi_cvd.settings import Settings

PARTIAL_DEPTH: Final = re.compile(r"depth(5|10|20)(@|$)")  # sent at a fixed pace; other sources speak on change
_BINS_MS: Final = (1_000, 5_000, 15_000, 60_000, 300_000, 900_000, HOUR_MS)


@dataclass(frozen=True)
class Window:
    """`[start_ms, end_ms)` and the symbols of the run; what should be there follows from it, never from the data."""

    start_ms: int
    end_ms: int
    symbols: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.start_ms < self.end_ms:
            raise UsageError(f"expected a window that starts before it ends, found [{self.start_ms}, {self.end_ms}) ms")
        if not self.symbols:
            raise UsageError("expected at least one symbol, found none")

    @property
    def hours(self) -> float:
        """The length of the run in hours."""
        return (self.end_ms - self.start_ms) / HOUR_MS

    @property
    def length_ms(self) -> int:
        """The length of the run in ms."""
        return self.end_ms - self.start_ms

    def clock_hours(self) -> Iterator[tuple[int, int, int]]:
        """Yield `(hour_ms, start_ms, end_ms)` of every clock hour that the window touches, and its part of it."""
        for hour_ms in range(self.start_ms // HOUR_MS * HOUR_MS, self.end_ms, HOUR_MS):
            yield hour_ms, max(self.start_ms, hour_ms), min(self.end_ms, hour_ms + HOUR_MS)

    @property
    def label(self) -> str:
        """`YYYYMMDD_HH` of the last hour that the window touches; reports are named after it."""
        return hour_label(self.end_ms - 1)

    def bin_ms(self, points: int = 720) -> int:
        """Return a bin width that gives a chart at most `points` points, or the widest there is."""
        return next((width for width in _BINS_MS if (self.end_ms - self.start_ms) / width <= points), _BINS_MS[-1])

    def session_ms(self, sessions: str) -> dict[str, int]:
        """Return how much of the window lies in each session of `SESSION_HOURS`, in ms.

        Example:
            >>> Window(0, 12 * 3_600_000, ("BTCUSDT",)).session_ms("Tokyo=0-8,London=8-16,NY=16-24")
            {'Tokyo': 28800000, 'London': 14400000, 'NY': 0}
        """
        found: dict[str, int] = {}
        for name, opens, closes in re.findall(r"(\w+)=(\d+)-(\d+)", sessions):
            found.setdefault(name, 0)
            for hour_ms, start_ms, end_ms in self.clock_hours():
                if int(opens) <= hour_ms // HOUR_MS % 24 < int(closes):
                    found[name] += end_ms - start_ms
        return found

    def values(self, settings: Settings) -> dict[str, object]:
        """Return the parameters that queries of `sql/` take from a run."""
        return {
            "symbols": list(self.symbols),
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "bin_ms": self.bin_ms(),
            "slice_ms": settings.parquet_rotate_sec * 1000,
            "win_secs": settings.win_secs,
            "source": settings.source,
            "on_change": int(not PARTIAL_DEPTH.match(settings.source)),
            "warm_up": settings.mad_min_trades,
            "width": settings.winsor_limit / 32,
            "limit": settings.winsor_limit * 1.5,
        }


def scaled(figure: int, length_ms: int, full_ms: int) -> int:
    """Return a row threshold for a part of the time it was set for: never more than as set, never less than 1.

    Example:
        >>> scaled(2000, 3_600_000, 72 * 3_600_000), scaled(2000, 100 * 3_600_000, 72 * 3_600_000)
        (28, 2000)
    """
    return max(1, -(-figure * min(length_ms, full_ms) // full_ms))
