"""The five tables of section 10, joined from the formulas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from .book import merged_updates, ofi_rows, ofi_standings
from .cvd import cvd_complete, cvd_scale, cvd_values
from .events import all_events
from .fusion import fusion_rows
from .labels import label_grid, labels_at
from .outages import Trouble, is_unrepaired, ledger_outages
from .settings import NO_PARAMS, parse_params
from .trades import canonical_trades, id_holes, latency_ms, recv_rates, seen_ids
from .wire import Frame, book_frames, symbol_of, trade_frames

Cell: TypeAlias = int | float | str | bool | list[float] | None
Row: TypeAlias = dict[str, Cell]


def oracle_dataset(
    frames: Iterable[Frame],
    ledger: Iterable[Mapping[str, object]] = (),
    params: Mapping[str, object] = NO_PARAMS,
) -> dict[str, list[Row]]:
    """Return the five tables of one symbol, as lists of rows in the order of the specification.

    Args:
        frames: spool lines of one symbol, JSON-decoded, in any order.
        ledger: ledger records, JSON-decoded; those of other symbols are ignored.
        params: settings by their upper-case names; what is not named has its default.
    """
    p = parse_params(params)
    frames, ledger = list(frames), list(ledger)
    symbol = symbol_of(frames)

    received = trade_frames(frames, p.trade_stream)
    trades, seen = canonical_trades(received), seen_ids(received)
    book_outages = ledger_outages(ledger, symbol, p.source)
    updates = merged_updates(book_frames(frames, p.source), p.source, book_outages)
    holes = id_holes(seen, trades)
    trade_outages = [o for o in ledger_outages(ledger, symbol, p.trade_stream) if is_unrepaired(o, seen, holes)]
    trouble = Trouble(
        trade_outages=tuple(trade_outages),
        book_outages=tuple(book_outages),
        trade_gap_ends=tuple(trade.ts_ms for trade in trades if trade.gap_before > 0),
        book_break_ends=tuple(update.ts_ms for update in updates if update.after_break),
        win_ms=p.win_ms,
    )

    last_event_ms = max([trade.ts_ms for trade in trades[-1:]] + [update.ts_ms for update in updates[-1:]], default=0)
    grid = label_grid(trades, last_event_ms, trouble, symbol, p)
    ofi = ofi_rows(updates, p)
    fusion = fusion_rows(ofi, trades, trouble, p)

    def labels(x: int) -> dict[str, str | None]:
        return labels_at(x, grid, symbol, p)

    rates = recv_rates([trade.ts_ms for trade in trades])
    prices: list[Row] = [
        {
            "ts_ms": trade.ts_ms,
            "event_ts_ms": trade.frame.event_ms,
            "symbol": symbol,
            "price": float(trade.frame.price),
            "qty": float(trade.frame.qty),
            "agg_trade_id": trade.frame.trade_id,
            "latency_ms": latency_ms(trade.frame),
            "recv_rate_tps": rate,
            **labels(trade.ts_ms),
            "side": trade.frame.side,
            "recv_ts_ms": trade.frame.recv_ns // 1_000_000,
            "gap_before": trade.gap_before,
            "id_epoch": 0,
            "suspect": trouble.suspect(trade.ts_ms),
        }
        for trade, rate in zip(trades, rates, strict=True)
    ]
    ofi_table: list[Row] = [
        {
            "ts_ms": row.ts_ms,
            "symbol": symbol,
            "ofi_value": float(row.value),
            "ofi_z": standing.z,
            "scale": standing.scale,
            **labels(row.ts_ms),
            "ofi_l1": float(row.l1),
            "n_updates": row.n_updates,
            "mid": row.mid,
            "spread_bps": row.spread_bps,
            "ofi_levels": [float(flow) for flow in row.levels],
            "queue_imbalance": row.queue_imbalance,
            "microprice": row.microprice,
            "depth_bid": float(row.depth_bid),
            "depth_ask": float(row.depth_ask),
            "suspect": trouble.suspect(row.ts_ms),
        }
        for row, standing in zip(ofi, ofi_standings(ofi, p), strict=True)
    ]
    cvd_table: list[Row] = [
        {
            "ts_ms": trade.ts_ms,
            "symbol": symbol,
            "cvd": float(cvd),
            "delta": float(trade.delta),
            "z_raw": scale.z_raw,
            "z_cvd": scale.z_cvd,
            "scale": scale.scale,
            "sigma_floor": scale.sigma_floor,
            "floor_used": scale.floor_used,
            **labels(trade.ts_ms),
            "agg_trade_id": trade.frame.trade_id,
            "cvd_complete": complete,
            "id_epoch": 0,
            "suspect": trouble.suspect(trade.ts_ms),
        }
        for trade, cvd, scale, complete in zip(
            trades,
            cvd_values(trades, p),
            cvd_scale(trades, p),
            cvd_complete(trades, trade_outages, p),
            strict=True,
        )
    ]
    fusion_table: list[Row] = [
        {
            "ts_ms": row.ts_ms,
            "symbol": symbol,
            "score": row.score,
            "score_z": row.score_z,
            **labels(row.ts_ms),
            "ofi_flow": row.ofi_flow,
            "cvd_flow": row.cvd_flow,
            "ofi_flow_z": row.ofi_flow_z,
            "cvd_flow_z": row.cvd_flow_z,
            "consistency": row.consistency,
            "mid": row.mid,
            "suspect": trouble.suspect(row.ts_ms),
        }
        for row in fusion
    ]
    events: list[Row] = [
        {
            "ts_ms": event.ts_ms,
            "symbol": symbol,
            "event_type": event.event_type,
            "meta_json": event.meta_json,
            **labels(event.ts_ms),
            "suspect": trouble.suspect(event.ts_ms),
        }
        for event in all_events(grid, ofi, trades, fusion, trouble, p)
    ]
    return {"prices": prices, "ofi": ofi_table, "cvd": cvd_table, "fusion": fusion_table, "events": events}
