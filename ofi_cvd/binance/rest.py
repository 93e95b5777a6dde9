"""The venue's REST interface: time, aggregate trades by id, book snapshot.

Weights are respected before the venue complains, `Retry-After` of 429 and 418 is honoured, everything has a time-out
and a bound, and what may be tried again is tried again with growing, jittered waits.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self, TypeVar

import httpx
import msgspec

from ofi_cvd.binance.endpoints import Endpoint
from ofi_cvd.binance.keys import RestTrade
from ofi_cvd.binance.wire import Market
from ofi_cvd.common.backoff import backoff_delays
from ofi_cvd.errors import ExchangeError

MINUTE_S = 60.0
WEIGHT_SHARE = 0.8  # other programs of this address need some too
MAX_BODY_BYTES = 16 * 1024 * 1024
PAGE = 1000
LONGEST_STAY_AWAY_S = 3600.0
SNAPSHOT_LEVELS = 1000
_TRIES = 5
_WEIGHT_LIMIT = {"usdm": 2400, "spot": 6000}
_PATHS = {"usdm": "/fapi/v1", "spot": "/api/v3"}
_WEIGHTS = {"usdm": {"aggTrades": 20, "depth": 20, "time": 1}, "spot": {"aggTrades": 4, "depth": 50, "time": 1}}
_T = TypeVar("_T")
_BAN_S = 120.0  # the shortest ban of the venue, where a 418 does not say how long


def snapshots_per_minute(market: Market) -> int:
    """Return how many book snapshots half of the weight budget pays for; trade repairs have the other half."""
    return int(_WEIGHT_LIMIT[market] * WEIGHT_SHARE / 2 / _WEIGHTS[market]["depth"])


class RestRefusedError(ExchangeError):
    """The venue understood and refused: trying again is of no use.

    Attributes:
        status: the HTTP status.
        text: what the venue said.
    """

    def __init__(self, path: str, status: int, text: str) -> None:
        self.path, self.status, self.text = path, status, text
        super().__init__(path, status, text)

    def __str__(self) -> str:
        return f"{self.path}: expected status 200, found {self.status}: {self.text}"


class RestUnavailableError(ExchangeError):
    """No usable answer for now.

    Attributes:
        retry_s: seconds after which it is worth asking again.
    """

    def __init__(self, path: str, reason: str, retry_s: float) -> None:
        self.path, self.reason, self.retry_s = path, reason, retry_s
        super().__init__(path, reason, retry_s)

    def __str__(self) -> str:
        return f"{self.path}: expected an answer, found {self.reason}; worth another try in {self.retry_s:.0f} s"


class WeightBudget:
    """The request weight of this minute: what we spent, or what the venue says was spent, whichever is more."""

    def __init__(self, per_minute: int) -> None:
        self._limit = int(per_minute * WEIGHT_SHARE)
        self._minute = -1
        self._used = 0

    def wait_s(self, weight: int, now: float) -> float:
        """Return how long to wait before a request of `weight` at second `now`; 0 takes the weight."""
        if int(now // MINUTE_S) != self._minute:
            self._minute, self._used = int(now // MINUTE_S), 0
        if self._used and self._used + weight > self._limit:
            return MINUTE_S - now % MINUTE_S
        self._used += weight
        return 0.0

    def observe(self, used: str | None) -> None:
        """Take over the venue's count (`X-MBX-USED-WEIGHT-1M`)."""
        if used is not None and used.isascii() and used.isdigit():
            self._used = max(self._used, int(used))


class RestClient:
    """Asks; one per venue and process, so that one budget sees every request.

    Args:
        endpoint: where.
        market: `usdm` or `spot`.
        timeout_s: of each phase of a request.
        total_s: of a whole request: an answer that drips must not keep others waiting.
        patience_s: waits longer than this are not slept through but reported as `RestUnavailableError`.
        clock: wall-clock seconds (the venue counts weights by wall-clock minutes).
        sleep: waits.
        rand: uniform in [0, 1).
        transport: for tests.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        market: Market,
        *,
        timeout_s: float = 10.0,
        total_s: float = 20.0,
        patience_s: float = 90.0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rand: Callable[[], float] = random.random,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._market: Market = market
        self._patience_s, self._total_s = patience_s, total_s
        self._clock, self._sleep, self._rand = clock, sleep, rand
        self._budget = WeightBudget(_WEIGHT_LIMIT[market])
        self._blocked_until = 0.0
        self._client = httpx.AsyncClient(
            base_url=endpoint.rest + _PATHS[market],
            timeout=httpx.Timeout(timeout_s),
            follow_redirects=False,
            trust_env=not endpoint.loopback,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def server_time_ms(self) -> int:
        """Return the venue's clock; tried once, because an answer that took a retry would measure nothing.

        Raises:
            ExchangeError: no usable answer.
        """
        return _decode("time", await self._get("time", {}, tries=1), _Time).serverTime

    async def agg_trades(self, symbol: str, from_id: int, limit: int = PAGE) -> list[tuple[RestTrade, bytes]]:
        """Return up to `limit` aggregate trades from `from_id` on, by id: what we read of each, and its bytes verbatim.

        The answer is taken up to the first row that cannot be read: what is behind it may be asked for again.

        Raises:
            RestRefusedError: the venue does not give them, for example because they are too old.
            RestUnavailableError: no usable answer for now.
        """
        params = {"symbol": symbol, "fromId": str(from_id), "limit": str(limit)}
        trades: list[tuple[RestTrade, bytes]] = []
        for row in _decode("aggTrades", await self._get("aggTrades", params), list[msgspec.Raw]):
            try:
                trades.append((_decode("aggTrades", bytes(row), RestTrade), bytes(row)))
            except RestUnavailableError:
                if not trades:
                    raise
                break
        return trades

    async def depth(self, symbol: str, limit: int = SNAPSHOT_LEVELS) -> bytes:
        """Return a book snapshot, verbatim.

        Raises:
            RestRefusedError: the venue does not give it.
            RestUnavailableError: no usable answer for now.
        """
        return await self._get("depth", {"symbol": symbol, "limit": str(limit)})

    async def _get(self, name: str, params: Mapping[str, str], tries: int = _TRIES) -> bytes:
        delays = backoff_delays(self._rand, 0.5, 30.0)
        reason, delay = "nothing", 0.0
        for attempt in range(tries):
            await self._wait_for_leave(name)
            try:
                async with asyncio.timeout(self._total_s):
                    status, headers, body = await self._ask(name, params)
            except TimeoutError:
                reason = f"no whole answer within {self._total_s:.0f} s"
            except httpx.HTTPError as error:
                reason = f"{type(error).__name__} {error}".strip()
            else:
                self._budget.observe(headers.get("X-MBX-USED-WEIGHT-1M"))
                if status == 200:
                    return body
                reason = f"status {status}: {body[:200].decode('utf-8', 'replace')}"
                if status in (418, 429):
                    self._blocked_until = self._clock() + self._retry_after_s(status, headers)
                    continue  # the wait is the venue's, not ours
                if status < 500 and status != 408:
                    raise RestRefusedError(name, status, body[:200].decode("utf-8", "replace"))
            if attempt + 1 < tries:
                delay = next(delays)
                await self._sleep(delay)
        raise RestUnavailableError(name, reason, max(delay, self._blocked_until - self._clock(), 1.0))

    async def _wait_for_leave(self, name: str) -> None:
        """Sleep until neither a ban nor the budget stands in the way, or say that it would take too long."""
        while (wait_s := max(self._blocked_until - self._clock(), 0.0)) or (
            wait_s := self._budget.wait_s(_WEIGHTS[self._market][name], self._clock())
        ):
            if wait_s > self._patience_s:
                raise RestUnavailableError(name, "the venue's request to stay away", wait_s)
            await self._sleep(wait_s)

    async def _ask(self, name: str, params: Mapping[str, str]) -> tuple[int, httpx.Headers, bytes]:
        body = bytearray()
        async with self._client.stream("GET", name, params=dict(params)) as response:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise ExchangeError(f"{name}: expected at most {MAX_BODY_BYTES} bytes, found more")
        return response.status_code, response.headers, bytes(body)

    def _retry_after_s(self, status: int, headers: httpx.Headers) -> float:
        text = headers.get("Retry-After", "")
        if text.isascii() and text.isdigit():
            return min(float(text[:9]), LONGEST_STAY_AWAY_S)  # an absurd wish must not end the repairs of a whole run
        return _BAN_S if status == 418 else MINUTE_S - self._clock() % MINUTE_S


class _Time(msgspec.Struct):
    serverTime: int  # noqa: N815  # the venue's word


def _decode(name: str, body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RestUnavailableError(name, f"an unreadable answer: {error}", MINUTE_S) from None
