"""Epochs: a venue may begin the ids of a stream anew; rows before and behind such a point are told apart here.

See docs/specification/trades.md#epochs.

Inside the build a row's place is one number, its *key*: `epoch * 2^48 + id`. Keys rise over all epochs, so order, gaps,
duplicates and checkpoints need to know nothing of epochs. Ids of 2^48 and more (made from times, as those of some archives)
have no epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

FALL: Final = 10_000
"""An id this far below the highest may open an epoch if it is further below."""
DECIDING_ROWS: Final = 50
"""Rows with rising ids that decide whether an epoch opens."""
KEYS: Final = 1 << 48
"""Keys of one epoch."""
UNKNOWN: Final = 1 << 47
"""Between two keys of different epochs lie more keys than this, and nobody knows how many ids."""
_MADE_FROM_TIMES: Final = 1 << 60


@dataclass(frozen=True, order=True)
class Opening:
    """A row that opens an epoch.

    Attributes:
        at_ms, first_id: time and id of the row.
        before_ms: time of the last row of the epoch before.
        decided_ms: time of the last of the rows that decided it.
    """

    at_ms: int
    first_id: int
    before_ms: int
    decided_ms: int


@dataclass(frozen=True)
class Found:
    """The epochs of a stream.

    Attributes:
        openings: rows that open an epoch, in order.
        undecided_ms: time of the first row that may open one, and has too few rows behind it to say; None without one.
    """

    openings: tuple[Opening, ...] = ()
    undecided_ms: int | None = None


def find_openings(times_ms: pl.Series, ids: pl.Series) -> Found:
    """Return where epochs open, from the time and id of every websocket row of a stream, in any order.

    A row received more than once counts once.
    """
    rows = pl.DataFrame({"at_ms": times_ms, "id": ids}).unique().sort("at_ms", "id")
    at_ms, numbers = rows["at_ms"].to_numpy(), rows["id"].to_numpy()
    openings: list[Opening] = []
    begin, further = 0, DECIDING_ROWS - 1
    while begin < len(numbers):
        here = numbers[begin:]
        highest = np.maximum.accumulate(here)
        low = np.flatnonzero(here < highest - FALL)
        rising_until = _rising_until(here)
        # Ids that rise stay below the highest if the last of them does.
        decided = low[low + further < len(here)]
        decided = decided[rising_until[decided] >= decided + further]
        decided = decided[here[decided + further] < highest[decided]]
        if not len(decided):
            end = len(here) - 1
            late = low[(low + further > end) & (rising_until[low] == end) & (here[end] < highest[low])]
            return Found(tuple(openings), int(at_ms[begin + late[0]]) if len(late) else None)
        begin += int(decided[0])
        openings.append(
            Opening(*(int(one) for one in (at_ms[begin], numbers[begin], at_ms[begin - 1], at_ms[begin + further])))
        )
    return Found(tuple(openings))


def _rising_until(ids: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return, for each row, the last row of the run of strictly rising ids it stands in."""
    ends = np.append(np.flatnonzero(np.diff(ids) <= 0), len(ids) - 1)
    return ends[np.searchsorted(ends, np.arange(len(ids)))]


def may_open(rows: pl.DataFrame, key: str) -> bool:
    """Return whether one of some websocket rows of a stream, with `at_ms`, is far enough below another to open an epoch."""
    if bool((rows[key].diff() > 0).all()) and rows["at_ms"].is_sorted():
        return False
    keys = rows.sort("at_ms", key)[key]
    return bool((keys < keys.cum_max() - FALL).any())


def with_keys(rows: pl.DataFrame, openings: Sequence[Opening], columns: Sequence[str], time: pl.Expr) -> pl.DataFrame:
    """Return rows whose id columns, the first of them the row's own, are keys.

    Websocket rows (`precedence` 0) stand behind an opening by time and id. Other rows join the epoch whose span of time
    contains theirs, else the nearest; the earlier one where two are as near.
    """
    if not openings:
        return rows
    own = pl.col(columns[0])
    is_behind = [
        pl.when(pl.col("precedence") == 0)
        .then((time > one.at_ms) | ((time == one.at_ms) & (own >= one.first_id)))
        .otherwise(time > _halfway_ms(one))
        for one in openings
    ]
    epoch = pl.sum_horizontal(one.cast(pl.Int64) for one in is_behind)
    return rows.with_columns(pl.col(column) + epoch * KEYS for column in columns)


def key_at(number: int, at_ms: int, openings: Sequence[Opening]) -> int:
    """Return the key of an id that is known only by a time."""
    return number + KEYS * sum(at_ms > _halfway_ms(one) for one in openings)


def _halfway_ms(one: Opening) -> int:
    return (one.before_ms + one.at_ms) // 2


def epoch_of(key: str) -> pl.Expr:
    """Return the number of a key's epoch, 0 first."""
    return pl.when(pl.col(key).is_between(0, _MADE_FROM_TIMES)).then(pl.col(key) // KEYS).otherwise(0).cast(pl.Int64)


def id_of(key: str) -> pl.Expr:
    """Return the venue's id of a key."""
    return pl.col(key) - epoch_of(key) * KEYS


def first_changed_ms(one: Sequence[Opening], other: Sequence[Opening]) -> int | None:
    """Return the first time at which rows may stand in another epoch by two lists of openings; None if they are alike."""
    changed = set(one) ^ set(other)
    return min((opening.before_ms for opening in changed), default=None)
