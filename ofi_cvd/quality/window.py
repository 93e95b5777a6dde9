"""The run that is judged: a stretch of time and the symbols that should have been there."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from ofi_cvd.common.times import HOUR_MS, hour_label
from ofi_cvd.dataset.reader import Dataset
from ofi_cvd.errors import UsageError
from ofi_cvd.quality import queries
from ofi_cvd.settings import Settings

_MINUTE_MS: Final = 60_000
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
    def label(self) -> str:
        """`YYYYMMDD_HH` of the last hour that the window touches; reports are named after it."""
        return hour_label(self.end_ms - 1)

    def bin_ms(self, points: int = 720) -> int:
        """Return a bin width that gives a chart at most `points` points, or the widest there is."""
        return next((width for width in _BINS_MS if (self.end_ms - self.start_ms) / width <= points), _BINS_MS[-1])

    def session_hours(self, sessions: str) -> dict[str, float]:
        """Return how many hours of the window lie in each session of `SESSION_HOURS`.

        Example:
            >>> Window(0, 12 * 3_600_000, ("BTCUSDT",)).session_hours("Tokyo=0-8,London=8-16,NY=16-24")
            {'Tokyo': 8.0, 'London': 4.0, 'NY': 0.0}
        """
        found: dict[str, float] = {}
        for name, opens, closes in re.findall(r"(\w+)=(\d+)-(\d+)", sessions):
            found.setdefault(name, 0.0)
            for hour_ms in range(self.start_ms // HOUR_MS * HOUR_MS, self.end_ms, HOUR_MS):
                if int(opens) <= hour_ms // HOUR_MS % 24 < int(closes):
                    found[name] += (min(self.end_ms, hour_ms + HOUR_MS) - max(self.start_ms, hour_ms)) / HOUR_MS
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
            "warm_up": settings.mad_min_trades,
            "width": settings.winsor_limit / 32,
            "limit": settings.winsor_limit * 1.5,
        }


def stored_window(dataset: Dataset, settings: Settings) -> Window | None:
    """Return the run that the data tell of, with the symbols of the settings; None if there are neither data nor ledger.

    It is the whole minutes between the recorder's first and last sign of life, or without a ledger the hours of files.
    """
    span = dataset.read(lambda connection: queries.load("recorded_span").run(connection, {})).row(0, named=True)
    if span["first_ms"] is not None:
        first, last = (
            -(-span["first_ms"] // _MINUTE_MS) * _MINUTE_MS,
            (span["last_ms"] + 999) // _MINUTE_MS * _MINUTE_MS,
        )
        if first < last:
            return Window(first, last, settings.symbols)
    starts = [part.start_ms for part in dataset.parts()]
    if not starts:
        return None
    first, last = min(starts) // HOUR_MS * HOUR_MS, (max(starts) // HOUR_MS + 1) * HOUR_MS
    return Window(first, last, settings.symbols)


def scaled(figure: float, share: float) -> int:
    """Return a row threshold for `share` of the hours it was set for: never more than as set, never less than 1."""
    return max(1, math.ceil(figure * min(1.0, share)))
