"""What becomes of a frame of a stream: stored, repeated, held back, dropped; and a book's gap."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from ofi_cvd.binance.keys import Key


class Verdict(IntEnum):
    """What becomes of a frame."""

    REPEATED = 0
    STORED = 1
    HELD = 2  # the update before it is missing: kept for a moment, so that the ledger can know of the gap first


@dataclass
class SequenceBreak:
    """A book's gap: nothing is known of it but its ends; `previous` is the id that never came, if the chain names it."""

    expected: int | None
    previous: int | None
    start_ns: int
    end_ns: int
    due: float


@dataclass
class DroppedFrames:
    """Frames lost on our side since the last report, as inclusive ranges of their ids."""

    count: int = 0
    ranges: list[list[int]] = field(default_factory=list)

    def add(self, number: int) -> None:
        """Count one frame."""
        self.count += 1
        if self.ranges and self.ranges[-1][0] <= number <= self.ranges[-1][1] + 1:
            self.ranges[-1][1] = max(self.ranges[-1][1], number)
        else:
            self.ranges.append([number, number])


@dataclass(frozen=True)
class Arrival:
    """A frame that is held back, as it arrived."""

    key: Key
    recv_ns: int
    now: float
    conn: str
    line: bytes
