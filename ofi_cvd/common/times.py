"""Times and spans as people type them: `2026-01-05`, `2026-01-05T12:30`, `60s`, `1h`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from ofi_cvd.errors import UsageError

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


def show_time(ms: int) -> str:
    """Return a UTC time to the second.

    Example:
        >>> show_time(1767616200000)
        '2026-01-05 12:30:00'
    """
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
