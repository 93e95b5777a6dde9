"""Whether everything that was recorded is there: the gates `book_minutes` and `slices_complete`."""

from __future__ import annotations

from typing import Final

from ofi_cvd.quality.figures import Figures
from ofi_cvd.quality.verdicts import Gate, clock, pass_or_fail, some
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings

BOOK_MINUTE_RATE: Final = 0.001


def book_minutes(figures: Figures, _window: Window, settings: Settings) -> Gate:
    """Judge the whole minutes of the run without an order book: none, or less than 0.1 %; no row at all fails."""
    if not settings.has_book:
        return Gate("book_minutes", "not_applicable", None, BOOK_MINUTE_RATE, "BOOK_SOURCE=none: there is no book")
    rows = figures.rows("book_minutes")
    worst = max(rows, key=lambda row: (row["n"] == 0, float(row["book_empty_minute_rate"])))
    bad = [row for row in rows if not row["n"] or row["book_empty_minute_rate"] >= BOOK_MINUTE_RATE]
    told = [
        f"{row['symbol']} {row['book_empty_minutes']} of {row['minutes']}, first at {clock(row['first_empty_ms'])}"
        if row["n"]
        else f"{row['symbol']} no book at all"
        for row in bad
    ]
    detail = (
        f"minutes without a book: {some(told)}"
        if bad
        else f"{worst['minutes']} minutes, at most {worst['book_empty_minutes']} of a symbol without a book"
    )
    value = float(worst["book_empty_minute_rate"]) if worst["n"] else 1.0
    return Gate("book_minutes", pass_or_fail(failed=bad), value, BOOK_MINUTE_RATE, detail)


def slices_complete(figures: Figures, _window: Window, _settings: Settings) -> Gate:
    """Judge whether every slice is published, stored as published, and has the rows that the spool has frames for."""
    told = [f"{row['symbol']} {clock(row['start_ms'])} not published" for row in figures.rows("slices_missing")]
    told += [
        f"{row['symbol']} {row['kind']} {clock(row['start_ms'])} "
        f"{row['stored_rows']} rows stored of {row['published_rows']} published"
        for row in figures.rows("slices_wrong")
    ]
    told += [
        f"{one.symbol} {clock(one.start_ms)} {one.frames} and no row of {', '.join(one.kinds)}"
        for one in figures.unbuilt
    ]
    told += [f"{symbol} {stream} not one frame in the run" for symbol, stream in figures.silent]
    source = "" if figures.published.origin == "checkpoint" else " (no checkpoint: judged by the files alone)"
    detail = (some(told) if told else "every slice is published and stored as published") + source
    return Gate("slices_complete", pass_or_fail(failed=told), len(told), 0, detail)
