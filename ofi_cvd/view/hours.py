"""One hour of a symbol, read once: its buckets at every remembered level, and where data is missing in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from ofi_cvd.common.times import HOUR_MS, MINUTE_MS
from ofi_cvd.features.trades import is_behind_gap
from ofi_cvd.schemas import Kind
from ofi_cvd.view.buckets import bucketed, widened
from ofi_cvd.view.grid import LEVELS_MS

SILENT_MS: Final = MINUTE_MS
"""No row of trades or books for this long is no data; without any books, only an hour without trades is."""

BREAKS: Final = pl.Schema({"start_ms": pl.Int64, "end_ms": pl.Int64, "reason": pl.String})


@dataclass(frozen=True)
class Hour:
    """What is kept of one hour of a symbol.

    Attributes:
        levels: the buckets by width in ms.
        breaks: stretches without data inside the hour; a start that lies in an hour before is null.
        first_ms: of the first row of trades or books.
        last_ms: of the last.
        has_books: whether the hour has rows of `ofi`.
        opens_suspect: whether the first row is suspect.
        closes_suspect: whether the last row is suspect.
    """

    levels: Mapping[int, pl.DataFrame]
    breaks: pl.DataFrame
    first_ms: int
    last_ms: int
    has_books: bool
    opens_suspect: bool
    closes_suspect: bool


def read_hours(tables: Mapping[Kind, pl.LazyFrame]) -> dict[int, Hour]:
    """Return the hours that four tables of one symbol have rows in, by start in ms; rows are in time order."""
    finest = bucketed(tables, LEVELS_MS[0], by_hour=True)
    frames = [finest]
    frames += [widened(finest, level, "hour") for level in LEVELS_MS[1:]]
    rows = pl.concat([rows_seen(tables, kind) for kind in ("prices", "ofi")]).sort("ts_ms", maintain_order=True)
    *levels, seen = pl.collect_all([*frames, rows])
    parts = [dict(_split(frame)) for frame in levels]
    return {
        hour: _summary({width: part[hour] for width, part in zip(LEVELS_MS, parts, strict=True)}, own)
        for hour, own in _split(seen)
    }


def rows_seen(tables: Mapping[Kind, pl.LazyFrame], kind: Kind) -> pl.LazyFrame:
    """Return what tells where data is missing: time and table of each row, whether it is behind a gap, whether it is suspect."""
    behind_gap = is_behind_gap() if kind == "prices" else pl.lit(value=False)
    return tables[kind].select(
        "ts_ms",
        hour=pl.col("ts_ms") // HOUR_MS * HOUR_MS,
        is_book=pl.lit(kind == "ofi"),
        behind_gap=behind_gap,
        suspect=pl.col("suspect").fill_null(value=False),
    )


def _split(frame: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    for (hour,), rows in frame.partition_by("hour", as_dict=True, include_key=False, maintain_order=True).items():
        yield int(hour), rows


def _summary(levels: Mapping[int, pl.DataFrame], seen: pl.DataFrame) -> Hour:
    books = seen.filter(pl.col("is_book"))
    trades = seen.filter(~pl.col("is_book"))
    judged = books if books.height else trades
    return Hour(
        levels,
        find_breaks(seen, trades, judged, SILENT_MS if books.height else HOUR_MS),
        int(seen["ts_ms"][0]),
        int(seen["ts_ms"][-1]),
        bool(books.height),
        bool(judged["suspect"][0]),
        bool(judged["suspect"][-1]),
    )


def find_breaks(seen: pl.DataFrame, trades: pl.DataFrame, judged: pl.DataFrame, silent_ms: int) -> pl.DataFrame:
    """Return where data is missing inside an hour.

    Three signs: trade ids that are missing, a row that begins to be suspect (what ended before it is a break or an outage),
    and a time without any row.
    """
    before = pl.col("ts_ms").shift()
    signs: Sequence[tuple[pl.DataFrame, pl.Expr, str]] = (
        (trades, pl.col("behind_gap"), "trade ids are missing"),
        (judged, pl.col("suspect") & ~pl.col("suspect").shift(fill_value=True), "a break or an outage"),
        (seen, pl.col("ts_ms") - before >= silent_ms, "no rows"),
    )
    found = [
        rows.select(start_ms=before, end_ms="ts_ms", sign=sign)
        .filter("sign")
        .select("start_ms", "end_ms", reason=pl.lit(why))
        for rows, sign, why in signs
    ]
    return pl.concat([pl.DataFrame(schema=BREAKS), *found])


def join_breaks(hours: Mapping[int, Hour], start_ms: int, end_ms: int) -> list[dict[str, object]]:
    """Return the stretches without data that touch `[start_ms, end_ms)`, sorted and disjoint.

    Between two hours that have rows, data is missing where no row came for long, or where the later one opens suspect and
    the earlier one did not close so. Before the first and after the last row there is no data either.
    """
    found: list[tuple[int, int, str]] = []
    last: Hour | None = None
    for _, hour in sorted(hours.items()):
        if last is None:
            found += [(start_ms, hour.first_ms, "before the first row")] * (hour.first_ms - start_ms >= SILENT_MS)
        else:
            silent = SILENT_MS if hour.has_books or last.has_books else HOUR_MS
            if hour.first_ms - last.last_ms >= silent:
                found.append((last.last_ms, hour.first_ms, "no rows"))
            elif hour.opens_suspect and not last.closes_suspect:
                found.append((last.last_ms, hour.first_ms, "a break or an outage"))
        edge = last.last_ms if last else hour.first_ms
        found += [(edge if start is None else start, end, why) for start, end, why in hour.breaks.iter_rows()]
        last = hour
    edge = last.last_ms if last else start_ms
    found += [(edge, end_ms, "after the last row")] * (end_ms - edge >= SILENT_MS)
    merged: list[dict[str, object]] = []
    reach = start_ms
    for start, end, why in sorted(found):
        if end <= start_ms or start >= end_ms or end <= start:
            continue
        if merged and start <= reach:
            merged[-1]["end_ms"] = reach = max(reach, end)
            continue
        merged.append({"start_ms": start, "end_ms": end, "reason": why})
        reach = end
    return merged
