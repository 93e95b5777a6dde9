"""Instants and lengths of time as a researcher writes them: text, datetimes or milliseconds. All times are UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, TypeAlias

from ofi_cvd.common.times import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, parse_time, show_time, utc
from ofi_cvd.errors import InputError

When: TypeAlias = str | datetime | int
"""An instant: ISO text or a datetime (naive means UTC), or milliseconds since 1970-01-01."""

Length: TypeAlias = str | timedelta | int
"""A length of time: text such as `100ms`, `5s`, `1m`, `4h`, `1d`, a timedelta, or milliseconds."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LENGTH: Final = re.compile(r"(\d+)\s*(ms|s|m|min|h|d)")
_UNITS: Final = {"ms": 1, "s": SECOND_MS, "m": MINUTE_MS, "min": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}


class Span(NamedTuple):
    """The interval `[start_ms, end_ms)` of a dataset: from its first row to just after its last."""

    start_ms: int
    end_ms: int

    @property
    def start(self) -> datetime:
        """The first instant, as a UTC datetime."""
        return utc(self.start_ms)

    @property
    def end(self) -> datetime:
        """The instant after the last row, as a UTC datetime."""
        return utc(self.end_ms)

    def __str__(self) -> str:
        return f"{show_time(self.start_ms)} to {show_time(self.end_ms)} UTC"


def to_ms(when: When | None, name: str = "time") -> int | None:
    """Return an instant as milliseconds since the epoch; None for None.

    Args:
        when: the instant.
        name: what the instant is called in an error.

    Raises:
        UsageError: a text that is no time, or a value of another type.

    Example:
        >>> to_ms("2026-01-05T12:30"), to_ms(datetime(2026, 1, 5, 12, 30)), to_ms(1767616200000)
        (1767616200000, 1767616200000, 1767616200000)
    """
    if isinstance(when, datetime):
        aware = when if when.tzinfo else when.replace(tzinfo=UTC)
        return (aware - _EPOCH) // timedelta(milliseconds=1)
    if when is None or isinstance(when, str):
        return parse_time(name, when)
    if type(when) is int:  # not a bool, which Python takes for an int
        return when
    raise InputError(f"{name}: expected text, a datetime or whole milliseconds, found {when!r}")


def length_ms(length: Length, name: str = "length") -> int:
    """Return a length of time as milliseconds.

    Raises:
        InputError: no length, or one below 1 ms.

    Example:
        >>> length_ms("1m"), length_ms(timedelta(seconds=5)), length_ms(250)
        (60000, 5000, 250)
    """
    found: int | None = None
    if isinstance(length, timedelta):
        found = length // timedelta(milliseconds=1)
    elif isinstance(length, str):
        match = _LENGTH.fullmatch(length.strip())
        found = int(match[1]) * _UNITS[match[2]] if match else None
    elif type(length) is int:  # not a bool
        found = length
    if found is None or found < 1:
        raise InputError(f"{name}: expected a length such as 100ms, 5s, 1m, 4h or 1d, found {length!r}")
    return found
