"""Faults: what they are called, when they strike. Pure: time is an argument, chance is seeded.

A fault is `NAME[=VALUE][:every=SECONDS][:at=SECONDS][:p=PROBABILITY][:n=COUNT]`.
`docs/exchange.md` describes every name.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ofi_cvd.errors import InputError

Family = Literal["socket", "route", "frame", "rest", "clock"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    Attributes:
        family: what it strikes: open sockets, new connections, frames in the flow, REST requests or the clock.
        default: its value where none is given; None where one must be given.
        is_number: whether the value is a number rather than a stream pattern.
        every_s, chance: its trigger where none is given; with neither it is a standing condition.
    """

    family: Family
    default: str | None = "*"
    is_number: bool = False
    every_s: float | None = None
    chance: float | None = None


KINDS = {
    "reset": Kind("socket", every_s=30),
    "close": Kind("socket", every_s=30),
    "stall": Kind("socket", every_s=30),
    "shutdown": Kind("socket", "5", is_number=True, every_s=30),
    "silent": Kind("socket", default=None),
    "slow": Kind("socket", "20000", is_number=True),
    "wrong-route": Kind("route"),
    "dup": Kind("frame", chance=0.01),
    "reorder": Kind("frame", chance=0.01),
    "gap": Kind("frame", "*@aggTrade", chance=0.01),
    "garbage": Kind("frame", every_s=30),
    "oversize": Kind("frame", "50", is_number=True, every_s=30),
    "rest-429": Kind("rest", "5", is_number=True),
    "rest-500": Kind("rest", "500", is_number=True),
    "rest-timeout": Kind("rest", "60", is_number=True),
    "depth-500": Kind("rest", "503", is_number=True),
    "depth-stale": Kind("rest", "10", is_number=True),
    "clock": Kind("clock", default=None, is_number=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault with its trigger; without `every_s`, `at_s` and `chance` it is a standing condition.

    Attributes:
        value: a stream pattern with `*`, or a number; see `KINDS`.
        every_s: strikes at every multiple of so many seconds since the start.
        at_s: strikes once, so many seconds after the start.
        chance: probability per frame, per request, per new connection, or per second for sockets and the clock.
        count: how many frames, requests or connections one strike hits; None lets the fault decide.
    """

    name: str
    value: str
    every_s: float | None = None
    at_s: float | None = None
    chance: float | None = None
    count: int | None = None

    @property
    def kind(self) -> Kind:
        """What the fault is."""
        return KINDS[self.name]

    @property
    def number(self) -> float:
        """The value as a number."""
        return float(self.value)

    @property
    def pattern(self) -> str:
        """The streams it concerns; all of them for a fault whose value is a number."""
        return "*" if self.kind.is_number else self.value

    @property
    def is_standing(self) -> bool:
        """Whether it holds from start to end."""
        return self.every_s is None and self.at_s is None and self.chance is None


def make_fault(
    name: str,
    value: str | None = None,
    *,
    every_s: float | None = None,
    at_s: float | None = None,
    chance: float | None = None,
    count: int | None = None,
) -> Fault:
    """Return a fault, with the value of its kind where none is given.

    Raises:
        InputError: an unknown name, a missing or bad value, a trigger out of range.
    """
    kind = KINDS.get(name)
    if kind is None:
        raise InputError(f"fault: expected one of {', '.join(KINDS)}, found {name!r}")
    chosen = kind.default if value is None else value
    if chosen is None:
        raise InputError(
            f"fault {name}: expected {name}={'<number>' if kind.is_number else '<stream>'}, found no value"
        )
    if kind.is_number and not _is_number(chosen):
        raise InputError(f"fault {name}: expected a number, found {chosen!r}")
    for label, number in (("every", every_s), ("at", at_s)):
        if number is not None and not 0 <= number < float("inf"):
            raise InputError(f"fault {name}: expected {label}= seconds of zero or more, found {number}")
    if every_s == 0 or (count is not None and count < 1) or (chance is not None and not 0 <= chance <= 1):
        raise InputError(f"fault {name}: expected every= above 0, n= of 1 or more and p= between 0 and 1")
    return Fault(name=name, value=chosen, every_s=every_s, at_s=at_s, chance=chance, count=count)


def parse_fault(text: str) -> Fault:
    """Return the fault of a command line such as `gap=*@aggTrade:every=10:n=25`.

    Raises:
        InputError: it is not one.
    """
    head, *options = text.split(":")
    name, equals, value = head.partition("=")
    given: dict[str, float] = {}
    for option in options:
        key, _, number = option.partition("=")
        if key not in {"every", "at", "p", "n"} or not _is_number(number):
            raise InputError(f"fault {name}: expected every=, at=, p= or n= and a number, found {option!r}")
        given[key] = float(number)
    kind = KINDS.get(name)
    if kind is not None and not given.keys() & {"every", "at", "p"}:
        given |= {key: number for key, number in (("every", kind.every_s), ("p", kind.chance)) if number is not None}
    count = given.get("n")
    return make_fault(
        name,
        value if equals else None,
        every_s=given.get("every"),
        at_s=given.get("at"),
        chance=given.get("p"),
        count=None if count is None else int(count),
    )


class FaultPlan:
    """Which faults strike when.

    Args:
        faults: the faults; standing ones and those that go by chance per frame, request or connection are only kept.
        seed: decides the chances.
    """

    def __init__(self, faults: Iterable[Fault], seed: int = 0) -> None:
        self.faults = tuple(faults)
        self.random = random.Random(seed)  # noqa: S311  # chances of a test bench
        self._next_s = [_first_due_s(fault) for fault in self.faults]

    def due(self, now_s: float) -> list[Fault]:
        """Return the faults that strike now, given seconds since the start; each at most once a call."""
        struck = []
        for index, fault in enumerate(self.faults):
            next_s = self._next_s[index]
            if next_s is None or now_s < next_s:
                continue
            if fault.every_s is not None:
                self._next_s[index] = (now_s // fault.every_s + 1) * fault.every_s
            elif fault.at_s is not None:
                self._next_s[index] = None
            else:
                self._next_s[index] = now_s // 1 + 1.0
                if self.random.random() >= (fault.chance or 0):
                    continue
            struck.append(fault)
        return struck

    def standing(self, name: str) -> list[Fault]:
        """Return the faults of `name` that always hold."""
        return [fault for fault in self.faults if fault.name == name and fault.is_standing]

    def by_chance(self, name: str) -> Fault | None:
        """Return a fault of `name` whose dice say yes now."""
        for fault in self.faults:
            if fault.name == name and fault.chance is not None and self.random.random() < fault.chance:
                return fault
        return None


def _first_due_s(fault: Fault) -> float | None:
    if fault.every_s is not None:
        return fault.every_s
    if fault.at_s is not None:
        return fault.at_s
    by_second = fault.chance is not None and fault.kind.family in {"socket", "clock"}
    return 1.0 if by_second else None


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False
