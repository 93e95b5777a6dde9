"""The files of what an hour hands to the next: a state an hour, and apart from it the hour's own share of the day behind.

Volatility looks back a day, so a state that held that day would be the day written again every hour. A state holds none of
it: each hour's seconds stand in a file of their own (`.history.parquet`), and opening an hour reads those of the lookback.
They are kept for ever. Of the rest, hours that end more than 48 hours before the newest keep only what opens a UTC day;
what was thinned is computed again from the nearest state that is kept.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from ofi_cvd.common.times import DAY_MS, HOUR_MS, hour_of, utc
from ofi_cvd.errors import PublishError
from ofi_cvd.features.carry import TRAILING_ROWS, CarryState
from ofi_cvd.publish.checkpoint import HourEntry, write_whole

KEPT_MS: Final = 48 * HOUR_MS
_HISTORY: Final = "day"


def state_name(symbol: str, opens_ms: int) -> str:
    """Return the file, below STATE_DIR, of the state that opens an hour."""
    return f"{symbol}/{utc(opens_ms):%Y%m%dT%H}.parquet"


def history_name(symbol: str, hour_ms: int) -> str:
    """Return the file, below STATE_DIR, of an hour's own volatility and counts by the second."""
    return f"{symbol}/{utc(hour_ms):%Y%m%dT%H}.history.parquet"


def save(
    state_dir: Path,
    symbol: str,
    hour_ms: int,
    closing: CarryState,
    entry: HourEntry,
    hours: Mapping[int, HourEntry],
    lookback_secs: int,
) -> None:
    """Write what an hour closes with, and note names and digests in its entry.

    Raises:
        PublishError: a file cannot be written.
    """
    day = closing.trailing_rows[_HISTORY]
    own = day.filter(pl.col("ts_ms").is_between(hour_ms, hour_ms + HOUR_MS, closed="left"))
    out = io.BytesIO()
    own.write_parquet(out, compression="zstd", compression_level=1, statistics=False)
    history, state = out.getvalue(), replace(closing, trailing_rows={**closing.trailing_rows, _HISTORY: own.clear()})
    data = state.to_bytes()
    entry.state = state_name(symbol, hour_ms + HOUR_MS)
    entry.history_digest = hashlib.sha256(history).hexdigest()
    entry.state_digest = _digest(data, {**hours, hour_ms: entry}, hour_ms + HOUR_MS, lookback_secs)
    write_whole(state_dir / history_name(symbol, hour_ms), history)
    write_whole(state_dir / entry.state, data)


def load(
    state_dir: Path, symbol: str, hour_ms: int, hours: Mapping[int, HourEntry], lookback_secs: int
) -> CarryState | int:
    """Return the state that opens an hour, or the hour that must be computed again for a file of it is lost.

    Raises:
        PublishError: a file cannot be read.
    """
    before = hours.get(hour_ms - HOUR_MS)
    if before is None or not before.state:
        return CarryState()
    data = _read(state_dir / before.state)
    if data is None or _digest(data, hours, hour_ms, lookback_secs) != before.state_digest:
        return hour_ms - HOUR_MS
    shares = []
    for at in _lookback(hours, hour_ms, lookback_secs):
        share = _read(state_dir / history_name(symbol, at))
        if share is None or hashlib.sha256(share).hexdigest() != hours[at].history_digest:
            return at
        shares.append(pl.read_parquet(io.BytesIO(share)))
    state = CarryState.from_bytes(data)
    day = pl.concat([pl.DataFrame(schema=TRAILING_ROWS[_HISTORY]), *shares]).tail(lookback_secs - 1)
    return replace(state, trailing_rows={**state.trailing_rows, _HISTORY: day})


def thin(state_dir: Path, hours: Mapping[int, HourEntry], among: Iterable[int]) -> None:
    """Remove the states that old hours, out of some, close with; those that open a UTC day stay."""
    newest_ms = max(hours, default=0) + HOUR_MS
    for at in among:
        opens_ms = at + HOUR_MS
        if at in hours and hours[at].state and opens_ms < newest_ms - KEPT_MS and opens_ms % DAY_MS:
            (state_dir / hours[at].state).unlink(missing_ok=True)


def _lookback(hours: Mapping[int, HourEntry], hour_ms: int, lookback_secs: int) -> list[int]:
    """Return the hours whose history an hour opens with."""
    first_ms = hour_of(hour_ms - lookback_secs * 1000)
    return [at for at in range(first_ms, hour_ms, HOUR_MS) if at in hours and hours[at].history_digest]


def _digest(data: bytes, hours: Mapping[int, HourEntry], hour_ms: int, lookback_secs: int) -> str:
    """Return by which two states are compared: the state, and the history it is opened with."""
    found = hashlib.sha256(data)
    for at in _lookback(hours, hour_ms, lookback_secs):
        found.update(hours[at].history_digest.encode())
    return found.hexdigest()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PublishError(f"{path}: expected the state of an hour, found {error.strerror or error}") from None
