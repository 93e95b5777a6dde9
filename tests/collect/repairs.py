"""A venue whose REST side lags, refuses, answers in part and damages rows, around the scheduler of repairs.

    python -m tests.collect.repairs SEED [SEED...]

replays scenarios. The oracle knows every trade of the venue: no id that the venue has may ever be given up, none may be
stored twice, and once the venue behaves, everything missing that it has is stored.
"""

from __future__ import annotations

import random
import sys

from ofi_cvd.binance.keys import Key, RestTrade
from ofi_cvd.collect.actions import Action, LedgerRecord, StoreRepair
from ofi_cvd.collect.repair import RepairScheduler, TradesRequest
from ofi_cvd.collect.stats import StreamStats
from ofi_cvd.collect.stream_state import StreamState

START_MS = 1_760_616_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
Row = tuple[RestTrade, bytes]


class Scenario:
    """One seeded course of events; `seed` decides everything."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)  # a test bench
        self.states = {(name, "aggTrade"): StreamState(name, "aggTrade", 8192, StreamStats()) for name in SYMBOLS}
        self.actions: list[Action] = []
        self.records: list[LedgerRecord] = []
        self.scheduler = RepairScheduler(self.states, self.actions.append)
        self.now, self.newest = 0.0, dict.fromkeys(self.states, 0)
        self.absent: dict[tuple[str, str], set[int]] = {key: set() for key in self.states}
        self.born: dict[tuple[str, str], list[float]] = {key: [] for key in self.states}  # when each id came to be
        self.lag_s = self.dice.choice([0.0, 3.0, 12.0, 90.0])
        self.got: dict[tuple[str, str], list[int]] = {key: [] for key in self.states}
        self.streamed: dict[tuple[str, str], set[int]] = {key: set() for key in self.states}

    def run(self) -> list[str]:
        """Trade and lose for a while, then let the venue behave; return what is wrong afterwards."""
        for _ in range(300):
            self.now += self.dice.uniform(0.0, 2.0)
            for key in self.states:
                self._trade(key)
            self._ask(is_kind=False)
        for _ in range(300):
            self.now += 30.0
            self._ask(is_kind=True)
        return [text for key in self.states for text in self._faults(key)]

    def _trade(self, key: tuple[str, str]) -> None:
        for _ in range(self.dice.randrange(6)):
            self.newest[key] += 1
            number = self.newest[key]
            self.born[key].append(self.now)
            if self.dice.random() < 0.01:
                self.absent[key].add(number)
            elif self.dice.random() < 0.8:
                self._stream(key, number)
        if self.dice.random() < 0.01:  # a damaged id, far ahead
            self.states[key].accept(Key(10**9 + self.newest[key], 10**9 + self.newest[key], None, None), 0, self.now)

    def _stream(self, key: tuple[str, str], number: int) -> None:
        state = self.states[key]
        if state.accept(Key(number, number, None, None), round(self.now * 1e9), self.now):
            self.streamed[key].add(number)

    def _ask(self, *, is_kind: bool) -> None:
        for state in self.states.values():
            for gap in state.id_gaps.unreported(self.now):
                gap.reported = True
        while (request := self.scheduler.next_request(self.now)) is not None:
            if not is_kind and self.dice.random() < 0.3:
                self.scheduler.failed(request, self.dice.choice([1.0, 60.0, 1e9]), self.now)
            else:
                rows = self._answer(request, is_kind=is_kind)
                self.scheduler.answered(request, rows, (START_MS + round(self.now * 1000)) * 10**6, self.now)
        for action in self.actions:
            if isinstance(action, StoreRepair):
                self.got[action.symbol, action.stream].append(int(action.line.rpartition(b'"a":')[2].split(b"}")[0]))
        self.records += [action for action in self.actions if isinstance(action, LedgerRecord)]
        self.actions.clear()

    def _answer(self, request: TradesRequest, *, is_kind: bool) -> list[Row]:
        born, lag_s = self.born[request.key], 0.0 if is_kind else self.lag_s
        has = [
            number
            for number in range(request.first, len(born) + 1)
            if number not in self.absent[request.key] and born[number - 1] + lag_s <= self.now
        ][: request.count]
        if not is_kind and self.dice.random() < 0.2:
            has = has[: self.dice.randrange(len(has) + 1)]
        return [self._row(number, is_damaged=not is_kind and self.dice.random() < 0.05) for number in has]

    def _row(self, number: int, *, is_damaged: bool) -> Row:
        trade_ms = self.dice.choice([-1, START_MS * 1000]) if is_damaged else START_MS
        return RestTrade(number, trade_ms, "1", "1", buyer_is_maker=False), b'{"a":%d}' % number

    def _faults(self, key: tuple[str, str]) -> list[str]:
        texts = []
        for record in self.records:
            if record.event == "unrepairable" and (record.symbol, record.stream) == key:
                ids = set(range(int(str(record.facts["expected"])), int(str(record.facts["received"]))))
                if wrong := ids - self.absent[key]:
                    texts.append(f"{key}: gave up {sorted(wrong)}, which the exchange has")
        got = self.got[key]
        if len(got) != len(set(got)) or set(got) & self.streamed[key]:
            texts.append(f"{key}: stored an id twice")
        if self.streamed[key]:
            ids = range(min(self.streamed[key]), max(self.streamed[key]))
            missing = set(ids) - self.streamed[key] - set(got) - self.absent[key]
            texts += [f"{key}: never fetched {sorted(missing)}"] if missing else []
        return texts


def check(seed: int) -> None:
    """Run one scenario; fail with the command that repeats it."""
    faults = Scenario(seed).run()
    assert not faults, f"repeat with: python -m tests.collect.repairs {seed}\n" + "\n".join(faults)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        check(int(argument))
