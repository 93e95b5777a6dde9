"""How wide a bucket is for a range on the screen: at most one a pixel, from a short list of widths that divide a day."""

from __future__ import annotations

from typing import Final

from ofi_cvd.common.times import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

WIDTHS_MS: Final = (
    100, 200, 500, SECOND_MS, 2 * SECOND_MS, 5 * SECOND_MS, 10 * SECOND_MS, 20 * SECOND_MS, 30 * SECOND_MS, MINUTE_MS,
    2 * MINUTE_MS, 5 * MINUTE_MS, 10 * MINUTE_MS, 20 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS, 2 * HOUR_MS, 4 * HOUR_MS,
    8 * HOUR_MS, DAY_MS,
)  # fmt: skip
LEVELS_MS: Final = (SECOND_MS, 10 * SECOND_MS, 5 * MINUTE_MS)
"""Widths at which hours are summarised once and remembered; every coarser bucket is made of these."""

_BAR_PX: Final = 8
"""A bar narrower than this shows no body."""

_FOOTPRINT_PX: Final = 56
"""A bar narrower than this has no room for the numbers inside it."""


def line_width(span_ms: int, pixels: int) -> int:
    """Return the width in ms of a point of a line: at most one point a pixel.

    Example:
        >>> line_width(86_400_000, 1280), line_width(60_000, 1280)
        (120000, 100)
    """
    return _first(span_ms, pixels)


def bar_width(span_ms: int, pixels: int) -> int:
    """Return the width in ms of a bar: wide enough to have a body, never below a second.

    Example:
        >>> bar_width(86_400_000, 1280)
        600000
    """
    return max(SECOND_MS, _first(span_ms, pixels // _BAR_PX))


def footprint_width(span_ms: int, pixels: int) -> int:
    """Return the width in ms of a bar with numbers in it; at least a minute."""
    return max(MINUTE_MS, _first(span_ms, pixels // _FOOTPRINT_PX))


def level_for(width_ms: int) -> int | None:
    """Return the coarsest remembered level that a bucket of this width is made of; None: read the rows.

    Example:
        >>> level_for(120_000), level_for(500)
        (10000, None)
    """
    return next((level for level in reversed(LEVELS_MS) if width_ms % level == 0), None)


def nice_tick(span: float, levels: int) -> float:
    """Return a price step of 1, 2 or 5 times a power of ten that cuts `span` into at most `levels`; at least 1e-8.

    Example:
        >>> nice_tick(37.0, 20)
        2.0
    """
    steps = (mantissa * 10.0**power for power in range(-8, 12) for mantissa in (1, 2, 5))
    return next((step for step in steps if span / step <= levels), 1e12)


def _first(span_ms: int, count: int) -> int:
    return next((width for width in WIDTHS_MS if span_ms / width <= max(1, count)), WIDTHS_MS[-1])
