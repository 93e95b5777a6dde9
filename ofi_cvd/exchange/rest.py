"""The REST side of the exchange as a function from request to reply; no sockets, no clock.

Served: ping, time, depth, aggTrades, exchangeInfo, with weights and the
errors of the real exchange (docs/protocol.md#rest).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.exchange.archive import PREFIX, Archive
from ofi_cvd.exchange.history import RestTrade
from ofi_cvd.exchange.hub import Hub
from ofi_cvd.exchange.info import exchange_info
from ofi_cvd.exchange.limits import WeightLimiter
from ofi_cvd.exchange.reply import Reply
from ofi_cvd.exchange.venue_limits import VenueLimits

_USDM_DEPTH = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_BAD_PARAMETER, _BAD_SYMBOL, _MISSING, _BAD_INTERVAL = -1130, -1121, -1102, -1127


class RequestError(Exception):
    """A request the exchange turns down with an error code of its own."""

    def __init__(self, code: int, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(code, message)


class Rest:
    """The endpoints of one venue.

    Attributes:
        limiter: request weight by address.
    """

    def __init__(self, hub: Hub, limits: VenueLimits, archive: Path | None = None) -> None:
        self.hub, self.limits = hub, limits
        self._archive = Archive(limits.venue, hub.histories, archive)
        self.limiter = WeightLimiter(limits.weight_per_minute)
        self._endpoints: dict[str, Callable[[dict[str, str], int], object]] = {
            "ping": lambda _query, _now: {},
            "time": lambda _query, now: {"serverTime": now},
            "exchangeInfo": lambda _query, now: exchange_info(hub.histories, limits, now),
            "depth": self._depth,
            "aggTrades": self._agg_trades,
        }

    def answer(self, method: str, target: str, *, address: str, now_ms: int, part: str | None = None) -> Reply:
        """Return the reply to a request of `address` at exchange time `now_ms`; `part` is its Range header."""
        if target.startswith(PREFIX) and method == "GET":
            return self._archive.answer(target, part)
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        root, _, name = parts.path.rpartition("/")
        endpoint = self._endpoints.get(name) if root == self.limits.prefix else None
        if endpoint is None or method != "GET":
            return _json(404, {"code": -5000, "msg": f"Path {parts.path}, Method {method} is invalid"})
        verdict = self.limiter.charge(address, self.weight(name, query), now_ms)
        headers = {"X-MBX-USED-WEIGHT-1M": str(verdict.used), "X-MBX-USED-WEIGHT": str(verdict.used)}
        if verdict.status != 200:
            return too_many(verdict.status, verdict.retry_after_s, headers)
        try:
            return _json(200, endpoint(query, now_ms), headers)
        except RequestError as refusal:
            return _json(400, {"code": refusal.code, "msg": refusal.message}, headers)

    def weight(self, name: str, query: Mapping[str, str]) -> int:
        """Return the weight of a request for endpoint `name`."""
        is_usdm = self.limits.venue == "usdm"
        if name == "aggTrades":
            return 20 if is_usdm else 4
        if name == "exchangeInfo":
            return 1 if is_usdm else 20
        if name != "depth":
            return 1
        limit = int(query["limit"]) if query.get("limit", "").isdecimal() else (500 if is_usdm else 100)
        if is_usdm:
            return _USDM_DEPTH.get(limit, 20)
        return next((weight for most, weight in ((100, 5), (500, 25), (1000, 50)) if limit <= most), 250)

    def _depth(self, query: dict[str, str], now_ms: int) -> object:
        symbol = self._symbol(query)
        is_usdm = self.limits.venue == "usdm"
        limit = _integer(query, "limit", 500 if is_usdm else 100) or 0
        if limit < 1 or (is_usdm and limit not in _USDM_DEPTH):
            raise RequestError(_BAD_PARAMETER, "Data sent for parameter 'limit' is not valid.")
        return self.hub.snapshot(symbol, min(limit, 5000), now_ms)

    def _agg_trades(self, query: dict[str, str], _now_ms: int) -> list[RestTrade]:
        return self.hub.rest_trades(self._find_trades(query))

    def _find_trades(self, query: dict[str, str]) -> list[RestTrade]:
        symbol = self._symbol(query)
        limit = _integer(query, "limit", 500) or 0
        if limit < 1:
            raise RequestError(_BAD_PARAMETER, "Data sent for parameter 'limit' is not valid.")
        limit = min(limit, 1000)
        history = self.hub.histories[symbol]
        from_id = _integer(query, "fromId")
        start, end = _integer(query, "startTime"), _integer(query, "endTime")
        if from_id is not None:
            if start is not None or end is not None:
                raise RequestError(-1128, "Combination of optional parameters invalid.")
            return history.from_id(from_id, limit)
        if start is None and end is None:
            return history.latest(limit)
        start = (end or 0) - HOUR_MS + 1 if start is None else start
        end = start + HOUR_MS - 1 if end is None else end
        if end - start >= HOUR_MS:
            raise RequestError(_BAD_INTERVAL, "More than 1 hours between startTime and endTime.")
        return history.between(start, end, limit)

    def _symbol(self, query: Mapping[str, str]) -> str:
        symbol = query.get("symbol", "")
        if not symbol:
            raise RequestError(_MISSING, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if symbol not in self.hub.histories:
            raise RequestError(_BAD_SYMBOL, "Invalid symbol.")
        return symbol


def too_many(status: int, retry_after_s: int, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a 429 or 418 that asks the client to stay away for `retry_after_s`."""
    text = "Too many requests; current limit of IP is reached. Please use the websocket for live updates."
    if status == 418:
        text = "Way too many requests; IP banned. Please use the websocket for live updates to avoid bans."
    return _json(status, {"code": -1003, "msg": text}, {**(headers or {}), "Retry-After": str(retry_after_s)})


def failure(status: int) -> Reply:
    """Return an error of the exchange's own making."""
    return _json(status, {"code": -1001, "msg": "Internal error; unable to process your request. Please try again."})


def _integer(query: Mapping[str, str], name: str, default: int | None = None) -> int | None:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise RequestError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    return int(text)


def _json(status: int, value: object, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), headers or {})
