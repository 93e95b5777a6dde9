"""Fetches missing trades by id into the repair files of the hours they belong to; what cannot be had is said so."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ofi_cvd.binance.keys import RestTrade
from ofi_cvd.binance.rest import PAGE, RestClient, RestRefusedError, RestUnavailableError
from ofi_cvd.binance.wire import stream_name
from ofi_cvd.collect.actions import Fetch, Note
from ofi_cvd.collect.resume import merged
from ofi_cvd.collect.spooler import Repair
from ofi_cvd.collect.track import Track
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import ExchangeError
from ofi_cvd.spool.writer import wrap

EMPTY_TRIES = 3  # just after the fact the venue's REST side may lag behind its stream
EMPTY_WAIT_S = 2.0

log = logging.getLogger(__name__)


@dataclass
class Repairer:
    """Carries out one fetch after the other.

    Attributes:
        rest: the venue.
        put: takes a fetched trade, when there is room.
        note: takes a ledger record.
        clock: monotonic seconds.
        clock_ns: wall-clock time.
    """

    rest: RestClient
    put: Callable[[Repair], Awaitable[None]]
    note: Callable[[Note], None]
    clock: Callable[[], float]
    clock_ns: Callable[[], int]
    _empty: dict[tuple[str, int], int] = field(default_factory=dict)

    async def run(self, fetch: Fetch) -> None:
        """Fetch what is still missing of `fetch`; note what was repaired and what cannot be, or put it off."""
        track = fetch.track
        if track.stream != "aggTrade":
            self._give_up(track, fetch.first, fetch.last, "the venue gives single trades by id only to key holders")
            return
        got: list[int] = []
        try:
            await self._pages(track, fetch.first, fetch.last, got)
        except RestRefusedError as error:
            self._note_repaired(track, got)
            self._give_up(track, fetch.first, fetch.last, str(error))
        except RestUnavailableError as error:
            self._note_repaired(track, got)
            log.warning(
                "repair.put_off", extra={"symbol": track.symbol, "retry_s": error.retry_s, "reason": str(error)}
            )
            track.retry(fetch.first, fetch.last, self.clock() + error.retry_s)
        except ExchangeError as error:
            self._note_repaired(track, got)
            self._give_up(track, fetch.first, fetch.last, str(error))
        else:
            self._note_repaired(track, got)

    async def _pages(self, track: Track, first: int, last: int, got: list[int]) -> None:
        while missing := track.missing_in(first, last):
            low, high = missing[0]
            rows = await self.rest.agg_trades(track.symbol, low, min(PAGE, high - low + 1))
            rows = [row for row in rows if low <= row[0].trade_id <= high]
            if not rows:
                tries = self._empty[track.symbol, low] = self._empty.get((track.symbol, low), 0) + 1
                if tries < EMPTY_TRIES:
                    track.retry(first, last, self.clock() + EMPTY_WAIT_S)
                    return
                del self._empty[track.symbol, low]
                self._give_up(track, low, high, "the venue has no such ids")
                continue
            for trade, raw in rows:
                if track.repair(trade.trade_id):
                    got.append(trade.trade_id)
                    await self.put(self._line(track, trade, raw))
            reached = rows[-1][0].trade_id
            for unknown in track.missing_in(low, reached):  # skipped by a venue that has later ones: it has them not
                self._give_up(track, *unknown, "the venue has no such ids")

    def _line(self, track: Track, trade: RestTrade, raw: bytes) -> Repair:
        recv_ns = self.clock_ns()
        line = wrap(recv_ns, "rest", stream_name(track.symbol, track.stream), raw)
        return Repair(track.symbol, track.stream, recv_ns, trade.trade_ms // HOUR_MS * HOUR_MS, line)

    def _note_repaired(self, track: Track, ids: list[int]) -> None:
        track.stats.repaired += len(ids)
        for first, last in merged((number, number) for number in ids):
            facts = {"expected": first, "received": last + 1, "count": last - first + 1}
            self.note(Note("repaired", track.symbol, track.stream, "rest", facts))

    def _give_up(self, track: Track, first: int, last: int, reason: str) -> None:
        for low, high in track.missing_in(first, last):
            track.stats.unrepairable += high - low + 1
            facts = {"expected": low, "received": high + 1, "missing": high - low + 1, "reason": reason}
            self.note(Note("unrepairable", track.symbol, track.stream, "rest", facts))
            track.forget(low, high)
