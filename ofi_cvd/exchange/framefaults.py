"""Faults in the flow of frames: duplicates, swaps, skipped ids, rubbish. Pure: frames in, frames out."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

from ofi_cvd.exchange.faults import Fault, FaultPlan
from ofi_cvd.exchange.frames import binary_frame, text_frame

MAX_GAP = 20
"""Longest run of frames that a `gap` of no stated length skips."""

_RUBBISH = (
    text_frame(b"{not json"),
    text_frame(b""),
    text_frame(b"[]"),
    text_frame(b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":17'),
    text_frame(b'{"stream":"../../etc@aggTrade","data":{"e":"aggTrade","a":"x"}}'),
    text_frame(b'{"stream":7,"data":null}'),
    binary_frame(bytes(range(256))),
)


class Sent(NamedTuple):
    """What goes out on a stream: a payload to be wrapped, or a finished frame that is sent as it is."""

    payload: bytes
    is_finished_frame: bool = False


@dataclass(slots=True)
class _Armed:
    fault: Fault
    left: int


class FrameFaults:
    """Changes the flow as the plan demands.

    Attributes:
        skipped: `(stream, payload)` of frames that `gap` kept off the wire, newest last, at most 100,000.
        fired: how often each fault struck.
    """

    def __init__(self, plan: FaultPlan) -> None:
        self.skipped: deque[tuple[str, bytes]] = deque(maxlen=100_000)
        self.fired: Counter[str] = Counter()
        self._plan = plan
        self._chances = [fault for fault in plan.faults if fault.kind.family == "frame" and fault.chance is not None]
        self._armed: list[_Armed] = []
        self._skipping: dict[str, int] = {}
        self._held: dict[str, bytes] = {}

    @property
    def is_idle(self) -> bool:
        """Whether every frame passes unchanged just now."""
        return not (self._chances or self._armed or self._skipping or self._held)

    def arm(self, fault: Fault) -> None:
        """Let `fault` strike the next frame that it concerns (the next `count` ones, for all but `gap`)."""
        self._armed.append(_Armed(fault, 1 if fault.name == "gap" else fault.count or 1))

    def apply(self, stream: str, payload: bytes) -> list[Sent]:
        """Return what is sent on `stream` in place of `payload`."""
        before: list[Sent] = []
        copies, is_held = 1, False
        for fault in self._due_faults(stream):
            self.fired[fault.name] += 1
            if fault.name == "gap":
                length = fault.count or self._plan.random.randint(1, MAX_GAP)
                self._skipping[stream] = max(self._skipping.get(stream, 0), length)
            elif fault.name == "dup":
                copies += 1
            elif fault.name == "reorder":
                is_held = stream not in self._held
            elif fault.name == "garbage":
                before.append(Sent(self._plan.random.choice(_RUBBISH), is_finished_frame=True))
            else:
                before.append(Sent(_oversize(fault), is_finished_frame=True))
        if left := self._skipping.pop(stream, 0):
            if left > 1:
                self._skipping[stream] = left - 1
            self.skipped.append((stream, payload))
            return before
        if is_held:
            self._held[stream] = payload
            return before
        held = [Sent(self._held.pop(stream))] if stream in self._held else []
        return before + [Sent(payload)] * copies + held

    def _due_faults(self, stream: str) -> list[Fault]:
        dice = self._plan.random
        struck = [
            fault
            for fault in self._chances
            if fnmatchcase(stream, fault.pattern) and dice.random() < (fault.chance or 0)
        ]
        for armed in list(self._armed):
            if fnmatchcase(stream, armed.fault.pattern):
                struck.append(armed.fault)
                armed.left -= 1
                if not armed.left:
                    self._armed.remove(armed)
        return struck


def _oversize(fault: Fault) -> bytes:
    size = int(fault.number * 1_000_000)
    return text_frame(b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","pad":"' + b" " * size + b'"}}')
