"""What a build keeps of epochs, and what changes with them: the keys of rows, of the ledger's gaps and of hours.

See docs/specification/trades.md#epochs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from ofi_cvd.common.times import hour_of
from ofi_cvd.features.epochs import FALL, Found, Opening, first_changed_ms
from ofi_cvd.features.gaps import keyed, ledger_gaps
from ofi_cvd.publish.basis import Basis, LedgerGaps
from ofi_cvd.publish.checkpoint import Epochs, HourEntry, Source, SymbolEntry
from ofi_cvd.settings import Settings


class EpochsChanged(Exception):  # noqa: N818  # no error: what was read so far has to be read by other keys
    """Epochs of a stream are not those that its rows were read with.

    Attributes:
        from_ms: hours from this time on are to be built anew; None: all.
    """

    def __init__(self, from_ms: int | None) -> None:
        super().__init__(from_ms)
        self.from_ms = from_ms


def openings_of(epochs: Epochs, *, is_trade: bool) -> Sequence[Opening]:
    """Return the openings of one stream."""
    return epochs.trades if is_trade else epochs.updates


def note_found(epochs: Epochs, found: Found, since_ms: int | None, *, is_trade: bool) -> None:
    """Take what all websocket rows of a stream show.

    Args:
        epochs: kept up to date.
        found: the epochs of the rows there are.
        since_ms: time of the first of those rows where earlier ones are gone; None where nothing is gone.
        is_trade: which stream.

    Raises:
        EpochsChanged: the openings differ.
    """
    then = openings_of(epochs, is_trade=is_trade)
    kept = [one for one in then if since_ms is not None and one.at_ms < since_ms]
    now = [*kept, *found.openings]
    was_undecided = epochs.undecided_ms(is_trade=is_trade) is not None
    if is_trade:
        epochs.trades, epochs.trades_undecided_ms = now, found.undecided_ms
    else:
        epochs.updates, epochs.updates_undecided_ms = now, found.undecided_ms
    if list(then) != now:
        # Rows that were in the epoch before for a while may stand in any of its hours.
        is_restated = was_undecided or not set(then) <= set(now)
        raise EpochsChanged(None if is_restated else first_changed_ms(then, now))


def may_begin_between(one: Source, other: Source) -> bool:
    """Return whether an epoch may open between the websocket rows of two files."""
    first, second = sorted((one, other), key=lambda source: source.first_ms or 0)
    last, lowest = first.last_key, second.first_key
    return last is not None and lowest is not None and last - lowest > FALL


def source_of(frame: pl.DataFrame, key: str, time: pl.Expr, size: int, refused: dict[str, int]) -> Source:
    """Return a file as it was read."""
    of_socket = pl.col("precedence") == 0
    first, last, at_ms = frame.select(
        pl.col(key).min(), pl.col(key).max().alias("last"), time.filter(of_socket).min().alias("at_ms")
    ).row(0)
    return Source(size, first, last, refused, at_ms)


def keyed_ledger(ledger: Sequence[Mapping[str, object]], symbol: str, settings: Settings, epochs: Epochs) -> LedgerGaps:
    """Return the ledger's gaps of both streams, the ids of trades as keys."""
    trades = ledger_gaps(ledger, symbol, settings.trade_stream)
    return LedgerGaps(
        [keyed(gap, epochs.trades) for gap in trades] if epochs.trades else trades,
        ledger_gaps(ledger, symbol, settings.source),
    )


def reset_hours(entry: SymbolEntry, from_ms: int | None) -> None:
    """Make the hours from a time on due, as if nothing but their slices were known."""
    start_ms = hour_of(from_ms) if from_ms is not None else min(entry.hours, default=0)
    before = max((at for at in entry.hours if at < start_ms), default=None)
    ends = entry.hours[before] if before is not None else HourEntry()
    affected = [at for at in entry.hours if at >= start_ms]
    for at in affected:
        hour = entry.hours[at]
        hour.trades_from_id = hour.updates_from_id = hour.first_trade_ms = None
        hour.trades_to, hour.updates_to = ends.trades_to, ends.updates_to
        hour.id_gaps, hour.basis, hour.final = [], Basis(), False
    entry.ahead = []
    entry.late = sorted({*entry.late, *affected})
