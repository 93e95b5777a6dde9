"""Forward returns: what could be bought after a row was known, and what that was worth later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np
import polars as pl

from ofi_cvd.dataset.arrays import Bools, Ints, floats, ints
from ofi_cvd.dataset.quotes import Gaps, Quotes, id_gaps, join_gaps, suspect_gaps
from ofi_cvd.dataset.times import Length, length_ms
from ofi_cvd.features.trades import is_behind_gap
from ofi_cvd.schemas import Kind

Price = Literal["mid", "trade"]
QUOTE_COLUMNS: Final[dict[Price, tuple[Kind, str]]] = {"mid": ("ofi", "mid"), "trade": ("prices", "price")}
"""Where the price that is forecast stands: `ofi.mid` of each bucket, or the price of each trade."""

Read = Callable[[Kind, Sequence[str]], pl.DataFrame]
"""Reads columns of one symbol's table, in time order."""


def gaps_of(read: Read, kind: Kind, win_ms: int) -> Gaps:
    """Return where a symbol's data has unrepaired gaps: from `suspect` of `kind` and from missing trade ids."""
    rows = read(kind, ["ts_ms", "suspect"])
    flagged: Bools = np.asarray(rows.get_column("suspect").fill_null(value=False).to_numpy(), dtype=np.bool_)
    trades = read("prices", ["ts_ms", "gap_before"])
    behind: Bools = np.asarray(trades.select(is_behind_gap()).to_series().to_numpy(), dtype=np.bool_)
    by_id = id_gaps(ints(trades, "ts_ms"), behind)
    return join_gaps(suspect_gaps(ints(rows, "ts_ms"), flagged, win_ms), by_id)


def quotes_of(read: Read, price: Price, win_secs: int) -> Quotes:
    """Return the quotes to judge a symbol by."""
    kind, column = QUOTE_COLUMNS[price]
    rows = read(kind, ["ts_ms", column]).filter(pl.col(column) > 0)
    return Quotes(ints(rows, "ts_ms"), np.log(floats(rows, column)), gaps_of(read, kind, win_secs * 1000))


def with_forward_returns(
    rows: pl.LazyFrame, horizons: Sequence[Length], quotes: Callable[[str], Quotes]
) -> pl.LazyFrame:
    """Return the frame with one column `forward_<horizon>` for each horizon, such as `forward_5s`.

    Args:
        rows: a frame with `symbol` and `ts_ms`.
        horizons: lengths of time.
        quotes: the quotes of a symbol; asked when the frame is collected.
    """
    lengths = {f"forward_{_label(length_ms(one, 'horizon'))}": length_ms(one, "horizon") for one in horizons}

    def judged(frame: pl.DataFrame) -> pl.DataFrame:
        columns = {name: np.full(frame.height, np.nan) for name in lengths}
        symbols = frame.get_column("symbol")
        for symbol in symbols.unique().drop_nulls().to_list():
            found, at = quotes(symbol), np.flatnonzero((symbols == symbol).fill_null(value=False).to_numpy())
            times: Ints = ints(frame, "ts_ms")[at]
            for name, length in lengths.items():
                columns[name][at] = found.forward(times, length)
        return frame.with_columns(pl.Series(name, values).fill_nan(None) for name, values in columns.items())

    schema = pl.Schema({**rows.collect_schema(), **dict.fromkeys(lengths, pl.Float64())})
    return rows.map_batches(judged, schema=schema)


def _label(ms: int) -> str:
    """Return a length as text: whole seconds where it is some.

    Example:
        >>> _label(5000), _label(250)
        ('5s', '250ms')
    """
    return f"{ms // 1000}s" if ms % 1000 == 0 else f"{ms}ms"
