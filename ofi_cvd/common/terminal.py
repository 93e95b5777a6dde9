"""The terminal: one console for results, one for sentences; plain ASCII unless the terminal can show more."""

from __future__ import annotations

import sys

from rich import box
from rich.console import Console
from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def can_show(text: str, console: Console = out) -> bool:
    """Return whether the console's encoding has every letter of `text`."""
    try:
        text.encode(console.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def table(title: str, *columns: str, console: Console = out) -> Table:
    """Return an empty table in the house's look for a console; columns that start with `>` are right-aligned."""
    fancy = can_show("\u2500", console)
    result = Table(title=title, box=box.SIMPLE_HEAD if fancy else box.ASCII2, title_justify="left", title_style="bold")
    for column in columns:
        result.add_column(
            column.removeprefix(">"),
            justify="right" if column.startswith(">") else "left",
            overflow="ellipsis" if fancy else "fold",  # an ellipsis is no ASCII
        )
    return result


def is_terminal() -> bool:
    """Return whether a person is looking at the messages."""
    return sys.stderr.isatty()


SPARKS = ("_.-=^", "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588")


def sparkline(values: list[float], width: int = 40) -> str:
    """Return `values` as one line of bars, oldest first, thinned to `width`; empty for no values."""
    if not values:
        return ""
    ramp = SPARKS[can_show(SPARKS[1])]
    picked = [values[i * len(values) // min(width, len(values))] for i in range(min(width, len(values)))]
    low, high = min(picked), max(picked)
    steps = (round((v - low) / (high - low) * (len(ramp) - 1)) if high > low else 0 for v in picked)
    return "".join(ramp[step] for step in steps)
