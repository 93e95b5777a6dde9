"""Hypothesis strategies for small, realistic markets of one symbol, with the faults a recorder meets.

A market is a list of steps (a trade, a book update, an outage) told to a `Tape`, which keeps the exchange's side of the
story (ids, prices, chain of updates) and writes what the recorder received.  Times and windows are scaled down: with
`SMALL_PARAMS` everything that takes minutes in a real market happens within seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

from hypothesis import strategies as st

Json: TypeAlias = dict[str, object]

SYMBOL: Final = "BTCUSDT"
TICKS_PER_UNIT: Final = 10
LOTS_PER_UNIT: Final = 1_000
DAY_MS: Final = 86_400_000
MIDDAY_MS: Final = 1_767_608_220_000  # 2026-01-05 10:17:00 UTC
HOUR_END_MS: Final = 1_767_610_800_000  # 2026-01-05 11:00:00 UTC
MIDNIGHT_MS: Final = 1_767_657_600_000  # 2026-01-06 00:00:00 UTC

# Thresholds are odd numbers on purpose: no statistic of a small market sits exactly on one.
SMALL_PARAMS: Final = MappingProxyType(
    {
        "WIN_SECS": 5,
        "Z_WIN_SECS": 5,
        "Z_MIN_ROWS": 3,
        "Z_MIN_SECS": 1,
        "WINSOR_LIMIT": 3.5,
        "VOL_LOOKBACK_SECS": 30,
        "VOL_MIN_SECS": 3,
        "PIVOT_SPAN_SECS": 2,
        "QUIET_SECS": 2,
        "DIV_MAX_SECS": 60,
        "MAD_WINDOW_TRADES": 10,
        "MAD_MIN_TRADES": 3,
        "FAST_HALF_LIFE_SEC": 2,
        "HALF_LIFE_SEC": 10,
        "ANOMALY_Z": 1.6789,
        "ANOMALY_PRICE_SIGMAS": 1.2345,
        "CONFLICT_Z": 0.7891,
    }
)

START_MS: Final = (
    MIDDAY_MS,
    MIDDAY_MS + 250,
    HOUR_END_MS - 4_000,
    HOUR_END_MS - 12_345,
    MIDNIGHT_MS - 100,
    MIDNIGHT_MS - 3_000,
    MIDNIGHT_MS - 11_111,
)
PAUSES_MS: Final = (0, 7, 40, 100, 100, 250, 250, 400, 400, 900, 1_000, 2_600)
DELAYS_MS: Final = (3, 20, 80)
CLOCK_OFFSETS_MS: Final = (0, 40, -1_500)
LATE_MS: Final = 700

TRADE_FAULTS: Final = (
    "lost",  # its id is consumed, nobody receives it
    "repaired",  # lost, and fetched over REST afterwards
    "twice",  # received on two connections
    "also_rest",  # received, and fetched over REST as well
    "late",  # received after trades that happened later
    "zero_qty",
    "not_market",
    "from_the_future",  # T is more than a second after E
    "back_in_time",  # T is a little before that of the trade before
    "not_a_number",
)
BOOK_FAULTS: Final = ("lost", "twice", "late", "no_bids", "no_asks", "shallow", "zero_qty", "unchanged", "not_a_number")


@dataclass(frozen=True)
class Market:
    """What the recorder received of one symbol, and the settings to build it with."""

    frames: list[Json]
    ledger: list[Json]
    params: dict[str, object]


@dataclass(frozen=True, kw_only=True)
class TradeStep:
    """A pause, then a trade."""

    pause_ms: int
    ticks: int
    lots: int
    buy: bool
    delay_ms: int
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class BookStep:
    """A pause, then a book update: the mid moves by `ticks`, some levels change their size."""

    pause_ms: int
    ticks: int
    resized: tuple[tuple[int, int], ...]
    delay_ms: int
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class OutageStep:
    """A time without connection in which the exchange went on trading."""

    lasts_ms: int
    stream: str
    events: int
    repaired: bool
    ids_known: bool


Step: TypeAlias = TradeStep | BookStep | OutageStep


@dataclass
class Tape:
    """The exchange and its recorder: every step changes the one, and leaves frames with the other."""

    now_ms: int
    trade_stream: str
    book_source: str
    market: str = "usdm"
    clock_offset_ms: int = 0
    frames: list[Json] = field(default_factory=list)
    ledger: list[Json] = field(default_factory=list)
    mid_ticks: int = 1_000
    next_id: int = 500
    u: int = 9_000
    # The recorder's view: last receipt of a stream, and the outage that waits for the first receipt after it
    last_recv_ms: dict[str, int] = field(default_factory=dict)
    open_outage: dict[str, tuple[int, int, bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sizes = [5 + k for k in range(2 * self.depth)]

    @property
    def depth(self) -> int:
        """Return the number of levels a side."""
        digits = re.match(r"depth(\d+)", self.book_source)
        return int(digits[1]) if digits else 1

    def play(self, step: Step) -> None:
        """Let one step happen."""
        if isinstance(step, TradeStep):
            self.trade(step)
        elif isinstance(step, BookStep):
            self.book(step)
        else:
            self.outage(step)

    def trade(self, step: TradeStep) -> None:
        """Let a trade happen and the recorder receive it, or not."""
        self.now_ms += step.pause_ms
        self.mid_ticks = max(100, self.mid_ticks + step.ticks)
        fault = "" if self.trade_stream in self.open_outage else step.fault
        if fault in {"repaired", "also_rest"} and self.trade_stream != "aggTrade":
            fault = "lost" if fault == "repaired" else "twice"
        data = self.trade_data(step, fault)
        if fault not in {"lost", "repaired"}:
            self.receive(self.trade_stream, data, step.delay_ms + LATE_MS * (fault == "late"))
        if fault == "twice":
            self.receive(self.trade_stream, data, step.delay_ms + 11, conn="m2")
        if fault in {"repaired", "also_rest"}:
            self.fetch(data)

    def trade_data(self, step: TradeStep, fault: str) -> Json:
        """Return the next trade as the wire says it."""
        trade_id, self.next_id = self.next_id, self.next_id + 1
        trade_ms = self.now_ms - 60 * (fault == "back_in_time") + 1_001 * (fault == "from_the_future")
        qty = {"zero_qty": "0", "not_a_number": "NaN"}.get(fault, units(step.lots, LOTS_PER_UNIT))
        data: Json = {"e": self.trade_stream, "E": self.now_ms, "s": SYMBOL}
        data["a" if self.trade_stream == "aggTrade" else "t"] = trade_id
        data |= {"p": units(self.mid_ticks, TICKS_PER_UNIT), "q": qty}
        if self.trade_stream == "aggTrade":
            data |= {"f": 3 * trade_id, "l": 3 * trade_id + 1}
        data |= {"T": trade_ms, "m": not step.buy}
        if self.market == "spot":
            return data | {"M": True}
        if self.trade_stream == "trade":
            data["X"] = "INSURANCE_FUND" if fault == "not_market" else "MARKET"
        return data | {"st": 1}

    def book(self, step: BookStep) -> None:
        """Let the book change and the recorder receive it, or not."""
        self.now_ms += step.pause_ms
        fault = "" if self.book_source in self.open_outage else step.fault
        if fault != "unchanged":
            self.mid_ticks = max(100, self.mid_ticks + step.ticks)
            for place, lots in step.resized:
                self.sizes[place % len(self.sizes)] = lots
        data = self.book_data(fault)
        if fault != "lost":
            self.receive(self.book_source, data, step.delay_ms + LATE_MS * (fault == "late"))
        if fault == "twice":
            self.receive(self.book_source, data, step.delay_ms + 11, conn="m2")

    def book_data(self, fault: str) -> Json:
        """Return the next book update as the wire says it."""
        pu, self.u = self.u, self.u + 7
        bids, asks = self.side(-1), self.side(1)
        if fault == "not_a_number":
            bids[0][1] = "Infinity"
        if fault == "zero_qty":
            bids[0][1] = "0"
        if self.book_source == "bookTicker":
            data: Json = {"u": self.u, "s": SYMBOL, "b": bids[0][0], "B": bids[0][1], "a": asks[0][0], "A": asks[0][1]}
            clocks: Json = {"e": "bookTicker", "E": self.now_ms, "T": self.now_ms - 1}
            return data if self.market == "spot" else clocks | data
        shown = {"no_bids": (0, None), "no_asks": (None, 0), "shallow": (2, 1)}.get(fault, (None, None))
        bids, asks = bids[: shown[0]], asks[: shown[1]]
        if self.market == "spot":
            return {"lastUpdateId": self.u, "bids": bids, "asks": asks}
        head: Json = {"e": "depthUpdate", "E": self.now_ms, "T": self.now_ms - 1, "s": SYMBOL}
        return head | {"U": pu + 1, "u": self.u, "pu": pu, "b": bids, "a": asks}

    def side(self, direction: int) -> list[list[str]]:
        """Return the levels of one side, best first: one tick apart, one tick from the mid."""
        sizes = self.sizes[: self.depth] if direction < 0 else self.sizes[self.depth :]
        return [
            [units(self.mid_ticks + direction * (1 + k), TICKS_PER_UNIT), units(lots, LOTS_PER_UNIT)]
            for k, lots in enumerate(sizes)
        ]

    def outage(self, step: OutageStep) -> None:
        """Lose the connection of one stream for a while; the gap is recorded with the first receipt after it."""
        stream = self.trade_stream if step.stream == "trade" else self.book_source
        if stream in self.open_outage or stream not in self.last_recv_ms:
            return
        self.open_outage[stream] = (self.last_recv_ms[stream], self.next_id, step.ids_known)
        each_ms = step.lasts_ms // (step.events + 1)
        for i in range(step.events):
            self.now_ms += each_ms
            if step.stream == "book":
                self.book_data("")
                continue
            unseen = TradeStep(pause_ms=0, ticks=0, lots=3 + i, buy=i % 2 == 0, delay_ms=0)
            data = self.trade_data(unseen, "")
            if step.repaired and stream == "aggTrade":
                self.fetch(data)
        self.now_ms += each_ms + 200

    def receive(self, stream: str, data: Json, delay_ms: int, conn: str = "m1") -> None:
        """Append a frame as a connection delivered it, and close the outage it ends."""
        recv_ms = self.now_ms + self.clock_offset_ms + delay_ms
        self.append(stream, data, recv_ms, conn)
        if stream in self.open_outage:
            start_ms, expected, ids_known = self.open_outage.pop(stream)
            received = data.get("a", data.get("t")) if stream == self.trade_stream else None
            self.gap(stream, start_ms, recv_ms, expected, received if ids_known else None)
        self.last_recv_ms[stream] = max(recv_ms, self.last_recv_ms.get(stream, recv_ms))

    def gap(self, stream: str, start_ms: int, end_ms: int, expected: int, received: object) -> None:
        """Append what the ledger says of an outage; ids are null where nobody knows them."""
        known = isinstance(received, int)
        self.ledger.append(
            {
                "recv_ns": end_ms * 1_000_000,
                "event": "gap",
                "symbol": SYMBOL,
                "stream": f"{SYMBOL.lower()}@{stream}",
                "conn": "m1",
                "expected": expected if known else None,
                "received": received,
                "missing": received - expected if isinstance(received, int) else None,
                "start_ms": start_ms,
                "end_ms": end_ms,
            }
        )

    def fetch(self, data: Json) -> None:
        """Append the REST object of a trade, fetched half a second later."""
        kept = {key: data[key] for key in ("a", "p", "q", "f", "l", "T", "m")}
        self.append(self.trade_stream, kept, self.now_ms + self.clock_offset_ms + 500, "rest")

    def append(self, stream: str, data: Json, recv_ms: int, conn: str) -> None:
        """Append a spool line; receipts of one millisecond stay apart by their nanoseconds."""
        recv_ns = recv_ms * 1_000_000 + len(self.frames)
        self.frames.append({"recv_ns": recv_ns, "conn": conn, "stream": f"{SYMBOL.lower()}@{stream}", "data": data})


def units(count: int, per_unit: int) -> str:
    """Return a number of ticks or lots as the wire's decimal text."""
    digits = len(str(per_unit)) - 1
    return f"{count // per_unit}.{count % per_unit:0{digits}d}"


def trade_steps(*, faults: bool = True) -> st.SearchStrategy[TradeStep]:
    """Return trades: mostly unharmed, sometimes several in one millisecond."""
    return st.builds(
        TradeStep,
        pause_ms=st.sampled_from(PAUSES_MS),
        ticks=st.integers(-3, 3),
        lots=st.integers(1, 60),
        buy=st.booleans(),
        delay_ms=st.sampled_from(DELAYS_MS),
        fault=_faults(TRADE_FAULTS, faults=faults),
    )


def book_steps(*, faults: bool = True) -> st.SearchStrategy[BookStep]:
    """Return book updates: the mid moves a little, up to three levels change their size."""
    return st.builds(
        BookStep,
        pause_ms=st.sampled_from(PAUSES_MS),
        ticks=st.sampled_from((0, 0, 0, 1, -1, 2)),
        resized=st.lists(st.tuples(st.integers(0, 19), st.integers(1, 90)), max_size=3).map(tuple),
        delay_ms=st.sampled_from(DELAYS_MS),
        fault=_faults(BOOK_FAULTS, faults=faults),
    )


def outage_steps() -> st.SearchStrategy[OutageStep]:
    """Return outages of either stream: with or without lost events, repaired or not, ids known or not."""
    return st.builds(
        OutageStep,
        lasts_ms=st.sampled_from((200, 1_500, 4_000)),
        stream=st.sampled_from(("trade", "book")),
        events=st.integers(0, 3),
        repaired=st.booleans(),
        ids_known=st.booleans(),
    )


def _faults(names: tuple[str, ...], *, faults: bool) -> st.SearchStrategy[str]:
    return st.sampled_from(("",) * 9 * len(names) + names) if faults else st.just("")


def steps(*, faults: bool = True, max_size: int = 80) -> st.SearchStrategy[list[Step]]:
    """Return the steps of a market: a few, or enough for every window to fill."""
    usual: list[st.SearchStrategy[Step]] = [trade_steps(faults=faults), book_steps(faults=faults)]
    kinds = st.one_of([*usual * 12, outage_steps()] if faults else usual)
    return st.one_of(st.lists(kinds, max_size=max_size), st.lists(kinds, min_size=max_size // 2, max_size=max_size))


def variants() -> st.SearchStrategy[dict[str, object]]:
    """Return settings that choose another formula, over those of `SMALL_PARAMS`."""
    return st.fixed_dictionaries(
        {},
        optional={
            "Z_MODE": st.just("level"),
            "SCALE_MODE": st.just("ewma"),
            "CVD_RESET": st.just("never"),
            "ACTIVE_TPS": st.sampled_from(("1.0", "q0.5", "BTCUSDT=0.4,*=2.0", "ETHUSDT=9,*=0.6")),
            "LEVELS": st.integers(1, 5),
            "WRITE_SESSION_LABELS": st.just(value=False),
            "FEE_TIER": st.sampled_from(("TL", "BTCUSDT=TH,*=TM", "ETHUSDT=TL,*=TM")),
        },
    )


@st.composite
def markets(
    draw: st.DrawFn,
    *,
    faults: bool = True,
    max_size: int = 80,
    sources: tuple[str, ...] = ("depth5@100ms", "depth10@100ms", "bookTicker"),
    venues: tuple[str, ...] = ("usdm", "usdm", "usdm", "spot"),
) -> Market:
    """Return a market: its frames in the order they were received, its ledger, its settings."""
    trade_stream, source = draw(st.sampled_from(("aggTrade", "aggTrade", "trade"))), draw(st.sampled_from(sources))
    tape = Tape(
        now_ms=draw(st.sampled_from(START_MS)),
        trade_stream=trade_stream,
        book_source=source,
        market=draw(st.sampled_from(venues)),
        clock_offset_ms=draw(st.sampled_from(CLOCK_OFFSETS_MS)),
    )
    tape.ledger += ledger_noise(tape)
    for step in draw(steps(faults=faults and draw(st.booleans()), max_size=max_size)):
        tape.play(step)
    chosen: dict[str, object] = {"MARKET": tape.market, "TRADE_STREAM": trade_stream, "BOOK_STREAMS": source}
    return Market(
        frames=sorted(tape.frames, key=lambda frame: int(str(frame["recv_ns"]))),
        ledger=tape.ledger,
        params={**SMALL_PARAMS, **chosen, **draw(variants())},
    )


def ledger_noise(tape: Tape) -> Iterator[Json]:
    """Yield records that change no value: a connection, and a gap of a symbol that is not ours."""
    now_ms = tape.now_ms
    base: Json = {"recv_ns": now_ms * 1_000_000, "conn": "m1"}
    stream = f"{SYMBOL.lower()}@{tape.trade_stream}"
    yield base | {"event": "connect", "symbol": SYMBOL, "stream": stream}
    foreign: Json = {"event": "gap", "symbol": "ETHUSDT", "stream": f"ethusdt@{tape.trade_stream}"}
    ids: Json = {"expected": 5, "received": 9, "missing": 4}
    yield base | foreign | ids | {"start_ms": now_ms, "end_ms": now_ms + 2_000}
