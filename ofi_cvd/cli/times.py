"""Points in time on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

from ofi_cvd.errors import UsageError


def parse_time(name: str, text: str | None) -> int | None:
    """Return `2025-10-16`, `2025-10-16T13:05` or milliseconds as milliseconds since 1970 UTC; None stays None.

    Raises:
        UsageError: neither.

    Example:
        >>> parse_time("--start", "2025-10-16T13:05"), parse_time("--start", "1760619900000")
        (1760619900000, 1760619900000)
    """
    if text is None:
        return None
    if text.isdecimal() and len(text) >= 12:
        return int(text)
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{name}: expected a UTC time such as 2025-10-16T13:05 or milliseconds, found {text!r}"
        ) from None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
