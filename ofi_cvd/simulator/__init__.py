"""The simulated market: a seeded book and tape, written to a spool or spoken in real time."""

from __future__ import annotations

from ofi_cvd.simulator.frames import STREAMS
from ofi_cvd.simulator.instruments import INSTRUMENTS, Instrument, instrument_for
from ofi_cvd.simulator.live import Market, MarketEvent
from ofi_cvd.simulator.simulate import DEFAULT_START_MS, SimulationReport, simulate_spool

__all__ = [
    "DEFAULT_START_MS",
    "INSTRUMENTS",
    "STREAMS",
    "Instrument",
    "Market",
    "MarketEvent",
    "SimulationReport",
    "instrument_for",
    "simulate_spool",
]
