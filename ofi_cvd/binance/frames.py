"""Spool files of one stream into Arrow-backed frames in our own words; DuckDB does the parsing.

A line that is not a JSON object comes back as a row of nulls and is counted, never fatal. Numbers arrive as text and
are cast exactly to `Decimal(38, 8)`; what does not cast is null, and `number_error` says why a number does not count.
Struct keys of DuckDB do not tell `b` from `B`, so the streams that need both are read through JSON paths instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import duckdb
import polars as pl

from ofi_cvd.binance.wire import Market
from ofi_cvd.errors import SpoolError

MAX_LINE_BYTES: Final = 4 * 1024 * 1024
_NUMBER: Final = "DECIMAL(38,8)"
_PLACE: Final = "CASE conn WHEN 'rest' THEN 1::BIGINT ELSE 0::BIGINT END AS precedence, 0::BIGINT AS file_row"
# A cast alone takes `1_000.5`, `+1.5` and ` 1.5 ` for numbers and rounds the ninth decimal in silence. One look at all
# numbers of a line together costs a sixth of a look at each. Eighteen digits before the point leave room for the sums:
# weighted flows of an hour of such quantities still fit 128 bits.
_EXACT: Final = r"(-?\d{1,18}(\.\d{1,8}0*)?(,-?\d{1,18}(\.\d{1,8}0*)?)*)?"
_PLAIN: Final = r"(-?\d+(\.\d+)?(,-?\d+(\.\d+)?)*)?"
_FINER: Final = r"\.\d{8}\d*[1-9]"

_TRADE_KEYS: Final = {
    "aggTrade": ("E BIGINT, T BIGINT, a BIGINT, p VARCHAR, q VARCHAR, m BOOLEAN", "data.a", "NULL"),
}


class _Depth(NamedTuple):
    """Where a venue's partial depth keeps what we want."""

    struct: str
    ids: str
    bids: str
    asks: str


_USDM_DEPTH: Final = _Depth(
    "E BIGINT, T BIGINT, u BIGINT, pu BIGINT, b VARCHAR[][], a VARCHAR[][]",
    "data.u AS update_id, data.pu AS previous_id, data.T AS traded_ms, data.E AS pushed_ms",
    "data.b",
    "data.a",
)
_SPOT_DEPTH: Final = _Depth(
    "lastUpdateId BIGINT, bids VARCHAR[][], asks VARCHAR[][]",
    "data.lastUpdateId AS update_id, NULL::BIGINT AS previous_id, NULL::BIGINT AS traded_ms, NULL::BIGINT AS pushed_ms",
    "data.bids",
    "data.asks",
)


def read_trades(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], stream: str) -> pl.DataFrame:
    """Return the raw trade rows of spool files, one row a line, nulls where a line or a field was unusable.

    Columns: `recv_ns`, `from_rest`, `trade_id`, `traded_ms`, `pushed_ms`, `price`, `qty` (Decimal), `buyer_is_maker`,
    `trade_kind` (null, or the mark of a row that is no market trade), `precedence` (0, or 1 for a row fetched over REST),
    `file_row` (0: receipts tell lines of the spool apart) and `number_error` (see `_number_error`).

    Raises:
        SpoolError: a file cannot be read.
    """
    if stream == "trade":  # T and t differ only in case
        fields = _json_fields("E", "T", "t", "p", "q", "m", "X")
        columns = f"""
            TRY_CAST(f[2] AS BIGINT) AS traded_ms, TRY_CAST(f[1] AS BIGINT) AS pushed_ms, TRY_CAST(f[3] AS BIGINT) AS trade_id,
            {_number("f[4]")} AS price, {_number("f[5]")} AS qty,
            TRY_CAST(f[6] AS BOOLEAN) AS buyer_is_maker, f[7] AS trade_kind, {_number_error("f[4]", "f[5]")}"""
        source = f"(SELECT recv_ns, conn, {fields} AS f FROM {_lines('JSON')})"
    else:
        keys, trade_id, kind = _TRADE_KEYS["aggTrade"]
        columns = f"""
            data.T AS traded_ms, data.E AS pushed_ms, {trade_id} AS trade_id,
            {_number("data.p")} AS price, {_number("data.q")} AS qty, data.m AS buyer_is_maker, {kind}::VARCHAR AS trade_kind,
            {_number_error("data.p", "data.q")}"""
        source = _lines(f"STRUCT({keys})")
    return _fetch(connection, f"SELECT recv_ns, conn = 'rest' AS from_rest, {columns}, {_PLACE} FROM {source}", paths)


def read_books(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], stream: str, *, levels: int, market: Market
) -> pl.DataFrame:
    """Return the raw book rows of spool files, one row a line, nulls where a line or a field was unusable.

    Columns: `recv_ns`, `update_id`, `previous_id` (null without a chain), `traded_ms`, `pushed_ms`,
    `bid_depth`, `ask_depth` (levels in the frame), and for level k in 1..levels `bid_px_k, bid_qty_k, ask_px_k, ask_qty_k`
    (Decimal; null where the level is missing); `precedence`, `file_row` and `number_error` as for trades.

    Raises:
        SpoolError: a file cannot be read.
    """
    if stream == "bookTicker":
        fields = _json_fields("u", "E", "T", "b", "B", "a", "A")
        columns = f"""
            TRY_CAST(f[1] AS BIGINT) AS update_id, NULL::BIGINT AS previous_id,
            TRY_CAST(f[3] AS BIGINT) AS traded_ms, TRY_CAST(f[2] AS BIGINT) AS pushed_ms,
            (f[4] IS NOT NULL)::BIGINT AS bid_depth, (f[6] IS NOT NULL)::BIGINT AS ask_depth,
            {_number("f[4]")} AS bid_px_1, {_number("f[5]")} AS bid_qty_1,
            {_number("f[6]")} AS ask_px_1, {_number("f[7]")} AS ask_qty_1,
            {_number_error("f[4]", "f[5]", "f[6]", "f[7]")}"""
        source = f"(SELECT recv_ns, conn, {fields} AS f FROM {_lines('JSON')})"
    else:
        # Spot's partial depth has other names. A file is of one market, so that only one set of names costs anything.
        names = _SPOT_DEPTH if market == "spot" else _USDM_DEPTH
        texts = {
            f"{side}_{name}_{k}": f"{getattr(names, side + 's')}[{k}][{j}]"
            for k in range(1, levels + 1)
            for side in ("bid", "ask")
            for j, name in ((1, "px"), (2, "qty"))
        }
        picked = ", ".join(f"{_number(text)} AS {name}" for name, text in texts.items())
        depths = f"len({names.bids}) AS bid_depth, len({names.asks}) AS ask_depth"
        columns = f"{names.ids}, {depths}, {picked}, {_number_error(*texts.values())}"
        source = _lines(f"STRUCT({names.struct})")
    return _fetch(connection, f"SELECT recv_ns, {columns}, {_PLACE} FROM {source}", paths)


def _lines(data_type: str) -> str:
    return f"""read_json($paths, format = 'newline_delimited', ignore_errors = true, maximum_object_size = {MAX_LINE_BYTES},
        columns = {{recv_ns: 'BIGINT', conn: 'VARCHAR', data: '{data_type}'}})"""


def _json_fields(*keys: str) -> str:
    paths = ", ".join(f"'$.{key}'" for key in keys)
    return f"json_extract_string(data, [{paths}])"


def _number(text: str) -> str:
    return f"TRY_CAST({text} AS {_NUMBER})"


def _number_error(*texts: str) -> str:
    """Return a column that says why a number of the line does not count; null where all are plain decimals.

    `not_a_number`: more than an optional minus, digits, and a point with digits. `too_many_decimals`: not a whole number
    of 1e-8. `number_out_of_range`: 1e18 or more.
    """
    return f"""CASE WHEN regexp_full_match(concat_ws(',', {", ".join(texts)}), '{_EXACT}') THEN NULL
            WHEN NOT regexp_full_match(concat_ws(',', {", ".join(texts)}), '{_PLAIN}') THEN 'not_a_number'
            WHEN regexp_matches(concat_ws(',', {", ".join(texts)}), '{_FINER}') THEN 'too_many_decimals'
            ELSE 'number_out_of_range' END AS number_error"""


def _fetch(connection: duckdb.DuckDBPyConnection, query: str, paths: Sequence[Path]) -> pl.DataFrame:
    try:
        arrow = connection.sql(query, params={"paths": [str(path) for path in paths]}).to_arrow_table()
    except duckdb.Error as error:
        raise SpoolError(f"{paths[0]}: expected lines of JSON, found something DuckDB cannot read: {error}") from None
    frame = pl.from_arrow(arrow)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101  # a table is never a series
    return frame
