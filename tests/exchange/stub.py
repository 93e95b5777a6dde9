"""A tiny market with the interface of the simulated one: steady, countable, no surprises."""

from __future__ import annotations

import json
from itertools import count

from ofi_cvd.exchange.source import Event, MarketSource


class StubMarket:
    """`rate` trades and ten books a second from `start_ms` on; trade ids count from 1000."""

    def __init__(self, symbol: str, start_ms: int, rate: int = 50) -> None:
        self.symbol, self.now_ms, self.rate = symbol, start_ms, rate
        self._ids, self._updates = count(1000), count(5000, 10)
        self._last_update = 4990

    def block(self) -> list[Event]:
        step = 1000 // self.rate
        events = []
        for at in range(self.now_ms, self.now_ms + 1000, step):
            events.append(Event(at, "aggTrade", self.trade(next(self._ids), at)))
            if (at - self.now_ms) % 100 < step:
                events += self.book(at)
        self.now_ms += 1000
        return events

    def trade(self, ident: int, at: int) -> bytes:
        side = "true" if ident % 2 else "false"
        return (
            f'{{"e":"aggTrade","E":{at},"a":{ident},"s":"{self.symbol}","p":"100.{ident % 10}0",'
            f'"q":"0.00{ident % 9 + 1}","nq":"0.001","f":{ident * 2},"l":{ident * 2 + 1},'
            f'"T":{at - 2},"m":{side},"st":1}}'
        ).encode()

    def book(self, at: int) -> list[Event]:
        update = next(self._updates)
        move = update // 10 % 3
        bids = [[f"{99.9 - (level + move) / 10:.2f}", f"{level + 1 + move}.000"] for level in range(20)]
        asks = [[f"{100.1 + (level + move) / 10:.2f}", f"{level + 2}.000"] for level in range(20)]
        events = [Event(at, f"depth{n}@100ms", self._depth(at, update, bids[:n], asks[:n])) for n in (5, 10, 20)]
        self._last_update = update
        quote = {"e": "bookTicker", "u": update, "E": at, "T": at - 1, "s": self.symbol, "b": bids[0][0]}
        quote |= {"B": bids[0][1], "a": asks[0][0], "A": asks[0][1], "st": 1}
        return [*events, Event(at, "bookTicker", _dump(quote))]

    def _depth(self, at: int, update: int, bids: list[list[str]], asks: list[list[str]]) -> bytes:
        head = {"e": "depthUpdate", "E": at, "T": at - 1, "s": self.symbol, "ps": self.symbol, "st": 1}
        return _dump({**head, "U": update - 9, "u": update, "pu": self._last_update, "b": bids, "a": asks})


def stub_source(*symbols: str, rate: int = 50) -> MarketSource:
    """Return a source of stub markets."""
    return MarketSource(symbols or ("BTCUSDT",), lambda symbol, start_ms: StubMarket(symbol, start_ms, rate))


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
