"""How often a stream speaks, and after which silence something must be wrong."""

from __future__ import annotations

import math
from typing import Final

MEMORY_S: Final = 300.0
MIN_FRAMES: Final = 20
QUIET_FACTOR: Final = 20.0  # a Poisson stream is silent for 20 mean gaps once in 10^8 gaps
LONGEST_SILENCE_S: Final = 1800.0


class StreamRate:
    """An average over the last minutes; a silence enters it only when it has ended."""

    def __init__(self) -> None:
        self._frames = self._seconds = 0.0
        self._counted, self._counted_at = 0, 0.0

    def observe(self, received: int, now: float) -> None:
        """Take how many frames came so far, at monotonic second `now`."""
        new = received - self._counted
        if not self._counted_at:
            self._counted, self._counted_at = received, now
        elif new:
            elapsed = now - self._counted_at
            fade = math.exp(-elapsed / MEMORY_S)
            self._frames, self._seconds = self._frames * fade + new, self._seconds * fade + elapsed
            self._counted, self._counted_at = received, now

    def silence_limit(self, fast_s: float) -> float:
        """Return after how many silent seconds the stream is suspect: `fast_s`, or more if it is slow by nature."""
        if self._frames < MIN_FRAMES:
            return min(4 * fast_s, LONGEST_SILENCE_S)
        return min(max(fast_s, QUIET_FACTOR * self._seconds / self._frames), LONGEST_SILENCE_S)
