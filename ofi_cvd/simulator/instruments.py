"""The instruments of the simulated market: their grids and their temper."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

STEP_MS = 100
"""Width of one step of the simulated book, in milliseconds."""

STEPS_PER_SECOND = 1000 // STEP_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What one symbol looks like on the wire and how it moves.

    `tick` and `lot` are the exchange's texts: their decimals are the decimals
    of every price and quantity on the wire.  `busy_tps` and `lull_tps` are
    aggregated trades per second in the two activity regimes at the average
    hour; `trades_per_s` is the mean over days that follows from them.
    `vol_bps` is the mid's standard deviation over one second in basis points,
    `touch_lots` and `trade_lots` the median size at the touch and of a trade,
    `level_gap` the ticks per occupied level, `quotes_per_s` how often the
    touch is refreshed between two depth frames.
    """

    tick: str
    lot: str
    price0: str
    trades_per_s: float
    busy_tps: float
    lull_tps: float
    vol_bps: float
    touch_lots: int
    trade_lots: float
    level_gap: int
    quotes_per_s: float

    @property
    def price_decimals(self) -> int:
        """Decimals of a price on the wire."""
        return _decimals(self.tick)

    @property
    def qty_decimals(self) -> int:
        """Decimals of a quantity on the wire."""
        return _decimals(self.lot)

    @property
    def tick_units(self) -> int:
        """One tick in units of the price's last decimal."""
        return _units(self.tick)

    @property
    def lot_units(self) -> int:
        """One lot in units of the quantity's last decimal."""
        return _units(self.lot)

    @property
    def tick0(self) -> int:
        """The opening price in ticks."""
        return round(float(self.price0) / float(self.tick))

    @property
    def sigma_ticks(self) -> float:
        """Standard deviation of the efficient price over one step, in ticks."""
        per_second = self.vol_bps * 1e-4 * float(self.price0) / float(self.tick)
        return float(per_second / STEPS_PER_SECOND**0.5)


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _units(text: str) -> int:
    return int(text.replace(".", ""))


INSTRUMENTS: Mapping[str, Instrument] = MappingProxyType(
    {
        "BTCUSDT": Instrument(
            tick="0.10", lot="0.001", price0="64000.00", trades_per_s=12.5, busy_tps=21.3,
            lull_tps=0.9, vol_bps=0.50, touch_lots=4000, trade_lots=12.0, level_gap=3,
            quotes_per_s=120.0,
        ),
        "ETHUSDT": Instrument(
            tick="0.01", lot="0.001", price0="3400.00", trades_per_s=10.0, busy_tps=16.3,
            lull_tps=0.9, vol_bps=0.65, touch_lots=30000, trade_lots=120.0, level_gap=2,
            quotes_per_s=90.0,
        ),
        "BNBUSDT": Instrument(
            tick="0.010", lot="0.01", price0="580.000", trades_per_s=3.4, busy_tps=5.0,
            lull_tps=0.8, vol_bps=0.55, touch_lots=900, trade_lots=30.0, level_gap=2,
            quotes_per_s=25.0,
        ),
        "XRPUSDT": Instrument(
            tick="0.0001", lot="0.1", price0="0.6000", trades_per_s=4.2, busy_tps=6.2,
            lull_tps=0.8, vol_bps=0.90, touch_lots=120000, trade_lots=2500.0, level_gap=1,
            quotes_per_s=25.0,
        ),
        "ADAUSDT": Instrument(
            tick="0.00010", lot="1", price0="0.45000", trades_per_s=3.0, busy_tps=4.3,
            lull_tps=0.8, vol_bps=1.10, touch_lots=25000, trade_lots=350.0, level_gap=1,
            quotes_per_s=15.0,
        ),
        "SOLUSDT": Instrument(
            tick="0.0100", lot="0.01", price0="160.0000", trades_per_s=5.5, busy_tps=8.9,
            lull_tps=0.9, vol_bps=0.90, touch_lots=6000, trade_lots=120.0, level_gap=1,
            quotes_per_s=40.0,
        ),
    }
)  # fmt: skip
"""The six default symbols, with the grids of the USD-M market of 2024-26."""

UNKNOWN = Instrument(
    tick="0.0010", lot="0.1", price0="10.0000", trades_per_s=3.0, busy_tps=4.3,
    lull_tps=0.8, vol_bps=1.00, touch_lots=5000, trade_lots=80.0, level_gap=1,
    quotes_per_s=15.0,
)  # fmt: skip
"""What a symbol that is not listed looks like: a mid-sized coin at 10."""


def instrument_for(symbol: str) -> Instrument:
    """Return the instrument of `symbol` (upper case), or the default one."""
    return INSTRUMENTS.get(symbol, UNKNOWN)
