"""Times and spans: the constants, how people type them, and how they are shown. All times are UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from ofi_cvd.errors import UsageError

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
HOUR_NS: Final = HOUR_MS * 1_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_SPAN = re.compile(r"(\d+)(s|m|min|h)?")
_SECONDS = {"s": 1, None: 1, "m": 60, "min": 60, "h": 3600}


def parse_time(option: str, text: str | None) -> int | None:
    """Return UTC milliseconds of an ISO date or time; None for None.

    Raises:
        UsageError: the text is no time.

    Example:
        >>> parse_time("--start", "2026-01-05T12:30")
        1767616200000
    """
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option}: expected a UTC time such as 2026-01-05 or 2026-01-05T12:30, found {text!r}"
        ) from None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def parse_window(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    """Return the milliseconds of `--start` and `--end`; None where one is not given.

    Raises:
        UsageError: a text is no time, or the start is not before the end.
    """
    start_ms, end_ms = parse_time("--start", start), parse_time("--end", end)
    if start_ms is not None and end_ms is not None and start_ms >= end_ms:
        raise UsageError(f"--start, --end: expected a start before the end, found {start} and {end}")
    return start_ms, end_ms


def parse_span(option: str, text: str) -> int:
    """Return seconds of a span.

    Raises:
        UsageError: the text is no span.

    Example:
        >>> parse_span("--slice", "1h")
        3600
    """
    match = _SPAN.fullmatch(text)
    if not match:
        raise UsageError(f"{option}: expected a span such as 60s or 1h, found {text!r}")
    return int(match[1]) * _SECONDS[match[2]]


def hour_of(ms: int) -> int:
    """Return the start of the hour that an instant belongs to, both in milliseconds.

    Example:
        >>> hour_of(1767616200000)
        1767614400000
    """
    return ms // HOUR_MS * HOUR_MS


def utc(ms: int) -> datetime:
    """Return an instant in milliseconds as a UTC time, exactly."""
    return _EPOCH + timedelta(milliseconds=ms)


def show_time(ms: int) -> str:
    """Return a time to the second, for people.

    Example:
        >>> show_time(1767616200000)
        '2026-01-05 12:30:00'
    """
    return f"{utc(ms):%Y-%m-%d %H:%M:%S}"


def show_minute(ms: int) -> str:
    """Return a time to the minute, for people.

    Example:
        >>> show_minute(1767616200000)
        '2026-01-05 12:30'
    """
    return f"{utc(ms):%Y-%m-%d %H:%M}"


def iso_time(ms: int) -> str:
    """Return a time to the second, for log facts, documents and command lines.

    Example:
        >>> iso_time(1767616200000)
        '2026-01-05T12:30:00Z'
    """
    return f"{utc(ms):%Y-%m-%dT%H:%M:%SZ}"


def stamp(ms: int) -> str:
    """Return a time to the second, for file names.

    Example:
        >>> stamp(1767616200000)
        '20260105T123000Z'
    """
    return f"{utc(ms):%Y%m%dT%H%M%SZ}"


def parse_stamp(text: str) -> int | None:
    """Return the milliseconds of a `stamp`; None for any other text.

    Example:
        >>> parse_stamp("20260105T123000Z"), parse_stamp("20260105T12")
        (1767616200000, None)
    """
    try:
        when = datetime.strptime(text + "+0000", "%Y%m%dT%H%M%SZ%z")
    except ValueError:
        return None
    ms = round(when.timestamp()) * SECOND_MS
    return ms if stamp(ms) == text else None  # strptime takes `2026015T...` too


def day_name(ms: int) -> str:
    """Return the day of an instant, for folder names.

    Example:
        >>> day_name(1767616200000)
        '2026-01-05'
    """
    return f"{utc(ms):%Y-%m-%d}"


def hour_label(ms: int) -> str:
    """Return the day and hour of an instant; hourly reports are named after it.

    Example:
        >>> hour_label(1767616200000)
        '20260105_12'
    """
    return f"{utc(ms):%Y%m%d_%H}"
