"""A simulated recording, written straight into a spool."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING

from ofi_cvd.common.files import write_whole
from ofi_cvd.common.signals import ignore_interrupts
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import InputError
from ofi_cvd.simulator.frames import RECORDED
from ofi_cvd.simulator.hours import HourReport, Recording, open_recording, write_hour
from ofi_cvd.simulator.instruments import STEP_MS
from ofi_cvd.simulator.ledger import CONNECTIONS, ledger_text
from ofi_cvd.spool.layout import find_file, is_symbol, ledger_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

DEFAULT_START_MS = 1_767_571_200_000
"""2026-01-05T00:00Z, a Monday: where a simulated recording begins unless told otherwise."""


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """What a simulation wrote: messages per stream, bytes of market data, UTC hours touched, seconds taken."""

    frames: dict[str, int]
    bytes: int
    hours: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Plan:
    spool: Path
    symbols: tuple[str, ...]
    streams: tuple[str, ...]
    seed: int
    edges_ms: tuple[int, ...]


def simulate_spool(
    out: Path,
    *,
    hours: float,
    symbols: Sequence[str],
    seed: int,
    start_ms: int = DEFAULT_START_MS,
    streams: Sequence[str] = ("aggTrade", "depth10@100ms"),
    workers: int | None = None,
    on_hour: Callable[[str, int], None] | None = None,
) -> SimulationReport:
    """Write `hours` of a simulated market into the spool `out`.

    The files depend on `seed`, `start_ms`, `hours`, and each symbol and stream
    for itself; not on `workers` (default: one per core) nor on what else is
    asked for.  `on_hour(symbol, hour_start_ms)` is called in this process as
    each hour of a symbol is finished.  Each file appears whole; after an
    interruption delete the spool and start again.

    Raises:
        InputError: nothing to simulate, an unknown stream, a negative seed, or the
            spool already holds a file of these hours.
    """
    began = time.perf_counter()
    plan = _plan(out, hours, symbols, streams, seed, start_ms)
    _refuse_existing(plan)
    frames: Counter[str] = Counter()
    size = 0
    left = Counter(dict.fromkeys(plan.edges_ms[:-1], len(plan.symbols)))
    for symbol, start, report in _run(plan, workers or os.cpu_count() or 1):
        frames.update(report.frames)
        size += report.size
        left[start] -= 1
        if not left[start]:
            _write_ledger(plan, start)
        if on_hour is not None:
            on_hour(symbol, start)
    return SimulationReport(dict(frames), size, len(plan.edges_ms) - 1, time.perf_counter() - began)


def _plan(out: Path, hours: float, symbols: Sequence[str], streams: Sequence[str], seed: int, start_ms: int) -> _Plan:
    steps = round(hours * HOUR_MS / STEP_MS) if math.isfinite(hours) else 0
    if steps < 1 or not symbols or not streams:
        raise InputError(
            f"expected some hours, symbols and streams to simulate, found {hours} hours, "
            f"{len(symbols)} symbols, {len(streams)} streams"
        )
    for stream in streams:
        if stream not in RECORDED:
            raise InputError(f"expected a stream among {', '.join(RECORDED)}, found {stream!r}")
    for symbol in symbols:
        if not is_symbol(symbol):
            raise InputError(f"expected symbols in upper case such as BTCUSDT, found {symbol!r}")
    for what, names in (("symbol", symbols), ("stream", streams)):
        if len(set(names)) != len(names):
            raise InputError(f"expected each {what} once, found {', '.join(names)}")
    if start_ms % STEP_MS or start_ms < 0:
        raise InputError(f"expected a start at a multiple of {STEP_MS} ms, found {start_ms}")
    stop_ms = start_ms + steps * STEP_MS
    first_edge = start_ms - start_ms % HOUR_MS + HOUR_MS
    edges = (start_ms, *range(first_edge, stop_ms, HOUR_MS), stop_ms)
    return _Plan(out, tuple(symbols), tuple(streams), seed, edges)


def _refuse_existing(plan: _Plan) -> None:
    for start_ms in plan.edges_ms[:-1]:
        found = [ledger_path(plan.spool, start_ms)] if ledger_path(plan.spool, start_ms).exists() else []
        for symbol, stream in product(plan.symbols, plan.streams):
            file = find_file(plan.spool, start_ms, symbol, stream)
            found += [path for path in (file.plain, file.sealed) if path] if file else []
        if found:
            raise InputError(
                f"expected a spool without these hours, found {found[0]}: choose another folder or delete it"
            )


def _run(plan: _Plan, workers: int) -> Iterator[tuple[str, int, HourReport]]:
    """Yield each finished hour.  A symbol's hours run in order, its state handed from task to task."""
    spans = list(pairwise(plan.edges_ms))
    workers = min(workers, len(plan.symbols))
    if workers <= 1:
        for symbol in plan.symbols:
            recording = open_recording(symbol, plan.seed, plan.edges_ms[0], plan.streams)
            for start, stop in spans:
                yield symbol, start, write_hour(recording, plan.spool, stop)
        return
    # Spawned, not forked: the same on every platform, and safe beside threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=ignore_interrupts) as pool:
        running = {_start(pool, plan, symbol): symbol for symbol in plan.symbols}
        done_hours = Counter[str]()
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                symbol = running.pop(future)
                recording, report = future.result()
                start = spans[done_hours[symbol]][0]
                done_hours[symbol] += 1
                if done_hours[symbol] < len(spans):
                    stop = spans[done_hours[symbol]][1]
                    running[pool.submit(_next_hour, recording, plan.spool, stop)] = symbol
                yield symbol, start, report


def _start(pool: Executor, plan: _Plan, symbol: str) -> Future[tuple[Recording, HourReport]]:
    return pool.submit(_first_hour, plan, symbol)


def _first_hour(plan: _Plan, symbol: str) -> tuple[Recording, HourReport]:
    recording = open_recording(symbol, plan.seed, plan.edges_ms[0], plan.streams)
    return _next_hour(recording, plan.spool, plan.edges_ms[1])


def _next_hour(recording: Recording, spool: Path, stop_ms: int) -> tuple[Recording, HourReport]:
    report = write_hour(recording, spool, stop_ms)
    return recording, report


def _write_ledger(plan: _Plan, start_ms: int) -> None:
    at = plan.edges_ms.index(start_ms)
    text = ledger_text(
        start_ms,
        plan.edges_ms[at + 1],
        seed=plan.seed,
        conns={CONNECTIONS[stream] for stream in plan.streams},
        opens=at == 0,
        closes=at == len(plan.edges_ms) - 2,
    )
    write_whole(ledger_path(plan.spool, start_ms), text)
