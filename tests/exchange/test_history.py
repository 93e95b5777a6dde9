"""Against a plain list, across block seams, with holes in the ids as a replayed spool may have them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ofi_cvd.exchange.history import BLOCK_TRADES, RETAIN_MS, TradeHistory

rows = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 400)), min_size=1, max_size=40)


def payload(ident: int, at_ms: int) -> bytes:
    return b'{"e":"aggTrade","E":%d,"a":%d,"s":"BTCUSDT","p":"1.0","T":%d,"m":true,"st":1}' % (at_ms, ident, at_ms)


def filled(steps: list[tuple[int, int]], repeat: int) -> tuple[TradeHistory, list[tuple[int, int]]]:
    history, known, ident, at_ms = TradeHistory(), [], 0, 1_000_000
    for id_step, ms_step in steps * repeat:
        ident, at_ms = ident + id_step, at_ms + ms_step
        history.add(ident, at_ms, payload(ident, at_ms))
        known.append((ident, at_ms))
    return history, known


@given(rows, st.integers(1, 60), st.data())
def test_trades_are_found_by_id_and_time_as_in_a_plain_list(
    steps: list[tuple[int, int]], repeat: int, data: st.DataObject
) -> None:
    history, known = filled(steps, repeat)
    limit = data.draw(st.integers(1, 1000))
    ident = data.draw(st.integers(0, known[-1][0] + 2))
    start = data.draw(st.integers(known[0][1] - 10, known[-1][1] + 10))
    end = data.draw(st.integers(start, known[-1][1] + 20))
    assert [t["a"] for t in history.from_id(ident, limit)] == [i for i, _ in known if i >= ident][:limit]
    assert [t["a"] for t in history.between(start, end, limit)] == [i for i, at in known if start <= at <= end][:limit]
    assert [t["a"] for t in history.latest(limit)] == [i for i, _ in known][-limit:]
    assert (history.first, history.last, history.count) == (known[0][0], known[-1][0], len(known))


def test_a_rest_trade_has_neither_event_nor_push_time_nor_symbol() -> None:
    history, _ = filled([(5, 7)], 1)
    assert history.from_id(0, 1) == [{"a": 5, "p": "1.0", "T": 1_000_007, "m": True}]


def test_a_repeated_id_is_one_trade() -> None:
    history, _ = filled([(1, 1)], 3)
    history.add(2, 5, payload(2, 5))
    assert history.count == 3


def test_the_history_is_bounded_by_count_and_by_age() -> None:
    history = TradeHistory(cap=3 * BLOCK_TRADES)
    for ident in range(10 * BLOCK_TRADES):
        history.add(ident, ident, payload(ident, ident))
    assert history.count == 10 * BLOCK_TRADES
    assert history.from_id(0, 1)[0]["a"] == 7 * BLOCK_TRADES
    late = RETAIN_MS + 20 * BLOCK_TRADES
    for ident in range(10 * BLOCK_TRADES, 11 * BLOCK_TRADES):
        history.add(ident, late, payload(ident, late))
    assert history.from_id(0, 1)[0]["a"] == 10 * BLOCK_TRADES
