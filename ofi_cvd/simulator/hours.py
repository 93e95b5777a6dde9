"""One hour of one symbol, from the engine to the spool's files."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ofi_cvd.common.files import write_whole
from ofi_cvd.simulator.engine import Engine
from ofi_cvd.simulator.frames import SNAPSHOT_LIMIT, payloads
from ofi_cvd.simulator.instruments import STEP_MS
from ofi_cvd.simulator.ledger import CONNECTIONS
from ofi_cvd.simulator.text import integer_texts, render, render_chunks
from ofi_cvd.spool.layout import SNAPSHOT_STREAM, hour_dir, stream_path
from ofi_cvd.spool.line import END, HEAD, between

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ofi_cvd.simulator.blocks import Ints
    from ofi_cvd.simulator.frames import Payloads

_MEDIAN_MS = 13.0  # network latency: a log-normal body...
_SPREAD = 0.30
_SPIKE_SHARE = 3e-5  # ...and rare stalls that delay what queues behind them
_SPIKE_MS = (30.0, 85.0)


@dataclass(slots=True)
class Recording:
    """A symbol being recorded: its market, and lines received past the hour last written."""

    engine: Engine
    streams: tuple[str, ...]
    network: dict[str, np.random.Generator]
    held: dict[str, bytes] = field(default_factory=dict)
    last_ns: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HourReport:
    """What was written for one hour of one symbol."""

    frames: dict[str, int]
    size: int


def open_recording(symbol: str, seed: int, start_ms: int, streams: Sequence[str]) -> Recording:
    """Return the recording of a new market.

    Latencies are drawn per stream, so that asking for one more stream leaves the
    files of the others as they are.
    """
    engine = Engine(symbol, seed, start_ms)  # first: it refuses a seed that cannot be
    network = {
        stream: np.random.default_rng([seed, zlib.crc32(symbol.encode()), zlib.crc32(stream.encode())])
        for stream in streams
    }
    return Recording(engine, tuple(streams), network)


def write_hour(recording: Recording, spool: Path, stop_ms: int) -> HourReport:
    """Advance the market to `stop_ms` and write what was received until then.

    `stop_ms` must not lie past the end of the hour under way.  Each file
    appears whole.  Messages received after `stop_ms` are held for the next hour.
    """
    engine = recording.engine
    hour_ms = engine.now_ms
    hour_dir(spool, hour_ms).mkdir(parents=True, exist_ok=True)
    block = engine.advance((stop_ms - engine.now_ms) // STEP_MS)
    frames: dict[str, int] = {}
    size = 0
    for stream in recording.streams:
        messages = payloads(stream, engine, block)
        held = recording.held.get(stream, b"")
        lines, count = _received(recording, stream, messages, stop_ms)
        path = stream_path(spool, hour_ms, engine.symbol, stream)
        size += write_whole(path, chain((held,), lines)).stat().st_size
        frames[stream] = held.count(b"\n") + count
    return HourReport(frames, size)


def _received(recording: Recording, stream: str, messages: Payloads, stop_ms: int) -> tuple[Iterator[bytes], int]:
    """Return the lines received before `stop_ms`, in chunks, and their number; hold the rest."""
    rng = recording.network[stream]
    recv_ns = _receipts(messages.event_ms, recording.last_ns.get(stream, 0), rng)
    cut = int(np.searchsorted(recv_ns, stop_ms * 1_000_000))
    name = f"{recording.engine.symbol.lower()}@{stream}"
    limit = f',"limit":{SNAPSHOT_LIMIT}' if stream == SNAPSHOT_STREAM else ""
    middle = between(CONNECTIONS[stream], name, limit)
    if recv_ns.size:
        recording.last_ns[stream] = int(recv_ns[-1])
    if messages.whole is not None:
        pairs = zip(recv_ns.tolist(), messages.whole, strict=True)
        lines = [b"%b%d%b%b%b" % (HEAD, at, middle, payload, END) for at, payload in pairs]
        recording.held[stream] = b"".join(lines[cut:])
        return iter(lines[:cut]), cut
    parts = [HEAD, integer_texts(recv_ns), middle, *messages.parts, END]
    recording.held[stream] = render(recv_ns.size, parts, first=cut)
    return render_chunks(cut, parts), cut


def _receipts(event_ms: Ints, last_ns: int, rng: np.random.Generator) -> Ints:
    """Return strictly rising receipt times in ns: a connection delivers in order."""
    latency_ms = _MEDIAN_MS * np.exp(_SPREAD * rng.standard_normal(event_ms.size))
    stalled = rng.random(event_ms.size) < _SPIKE_SHARE
    latency_ms += np.where(stalled, rng.uniform(*_SPIKE_MS, size=event_ms.size), 0.0)
    order = np.arange(event_ms.size)
    arrived = event_ms * 1_000_000 + (latency_ms * 1e6).astype(np.int64)
    return np.maximum(np.maximum.accumulate(arrived - order), last_ns + 1) + order
