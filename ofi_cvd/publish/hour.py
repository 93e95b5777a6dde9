"""Collects the plan of an hour: the one place where the lazy stages become rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from ofi_cvd.features.carry import CarryState, Scalars
from ofi_cvd.features.gaps import IdGap
from ofi_cvd.features.hour import Hour
from ofi_cvd.features.plan import plan
from ofi_cvd.publish.basis import NEVER_MS
from ofi_cvd.publish.checkpoint import HourEntry
from ofi_cvd.schemas import TABLES, Kind
from ofi_cvd.settings import Settings

# The stages are written in the order they should run in; on frames of an hour, looking for more costs more than it saves.
_PLAIN: Final = pl.QueryOptFlags.none(projection_pushdown=True)


@dataclass(frozen=True)
class Built:
    """An hour's rows and closing state.

    Attributes:
        tables: rows by kind, in table order.
        closing: what the next hour opens with.
        reject_reasons: rows not admitted, by reason.
    """

    tables: dict[Kind, pl.DataFrame]
    closing: CarryState
    reject_reasons: dict[str, int]


def hour_from(
    symbol: str,
    hour_ms: int,
    rows: tuple[pl.DataFrame, pl.DataFrame],
    opening: CarryState,
    entry: HourEntry,
    last_event_ms: int,
    levels: int,
) -> Hour:
    """Return an hour of trade and book rows, with the outages that the list it is built from says are open."""
    felt = entry.basis.influences
    return Hour(
        symbol=symbol,
        start_ms=hour_ms,
        trade_rows=rows[0],
        book_rows=rows[1],
        opening=opening,
        trade_outages=sorted({one.span for one in felt if one.what == "trade_outage" and one.is_open}),
        book_outages=sorted({one.span for one in felt if one.what == "book_outage"}),
        first_trade_ms=opening.scalars.first_trade_ms or entry.first_trade_ms,
        last_event_ms=last_event_ms,
        levels=levels,
    )


def close_hour(hour: Hour, settings: Settings) -> Built:
    """Return the rows and the closing state of an hour."""
    planned = plan(hour, settings, lambda frame: frame.collect(optimizations=_PLAIN).lazy())
    lazy = [*planned.tables.values(), planned.scalars, *planned.trailing_rows.values()]
    collected = pl.collect_all(lazy, optimizations=_PLAIN)
    tables = dict(zip(planned.tables, collected, strict=False))
    for kind, table in tables.items():
        assert table.schema == TABLES[kind].schema, f"{kind}: {table.schema}"  # noqa: S101  # the contract
    rest = collected[len(tables) :]
    scalars = Scalars(**rest[0].row(0, named=True))
    closing = CarryState(scalars, dict(zip(planned.trailing_rows, rest[1:], strict=True)))
    return Built(tables, closing, _reject_reasons(hour.trade_rows))


def first_admitted_ms(rows: pl.DataFrame, scalars: Scalars) -> int | None:
    """Return the time of the first admitted trade by id, never before the trades of the hour before; None without one."""
    first = rows.lazy().filter(pl.col("reject_reason").is_null()).head(1).select("traded_ms").collect()
    return None if first.is_empty() else max(int(first.item()), scalars.last_trade_ms or -NEVER_MS)


def id_gaps_of(rows: pl.DataFrame, scalars: Scalars) -> list[IdGap]:
    """Return the ids never seen just before one of some sequenced rows.

    A gap lies between the admitted trades around it; without one among these rows it is open on that side.
    """
    if rows.is_empty() or _is_contiguous(rows["trade_id"], scalars.last_seen_id):
        return []
    admitted_ms = pl.when(pl.col("reject_reason").is_null()).then("traded_ms")
    last_seen = pl.lit(scalars.last_seen_id, dtype=pl.Int64)
    last_trade_ms = pl.lit(scalars.last_trade_ms, dtype=pl.Int64)
    gaps = (
        rows.lazy()
        .select(
            first=pl.coalesce(pl.col("trade_id").shift(), last_seen) + 1,
            last=pl.col("trade_id") - 1,
            before_ms=pl.coalesce(
                pl.max_horizontal(admitted_ms.cum_max().forward_fill().shift(), last_trade_ms), pl.lit(-NEVER_MS)
            ),
            after_ms=pl.max_horizontal(
                pl.coalesce(admitted_ms.cum_max().backward_fill(), pl.lit(NEVER_MS)), last_trade_ms
            ),
        )
        .filter(pl.col("last") >= pl.col("first"))
        .collect()
    )
    return [IdGap(*row) for row in gaps.iter_rows()]


def _is_contiguous(ids: pl.Series, last_seen_id: int | None) -> bool:
    first, last = int(ids[0]), int(ids[-1])
    return last - first + 1 == len(ids) and last_seen_id in (None, first - 1)


def _reject_reasons(rows: pl.DataFrame) -> dict[str, int]:
    counts = rows.filter(pl.col("reject_reason").is_not_null())["reject_reason"].value_counts(sort=True)
    return dict(counts.iter_rows())
