"""One symbol's market, a block of steps at a time.

Order of causes: regimes -> trade counts -> what takers do -> price and touch ->
the prices they pay.  Given the same seed and the same block lengths the market is the
same to the byte.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING

import numpy as np

from ofi_cvd.errors import InputError
from ofi_cvd.simulator.arrivals import Excitement, arrivals_per_step, large_shares
from ofi_cvd.simulator.blocks import Block
from ofi_cvd.simulator.depth import FullBook
from ofi_cvd.simulator.depth_model import DepthModel
from ofi_cvd.simulator.instruments import STEP_MS, STEPS_PER_SECOND, instrument_for
from ofi_cvd.simulator.price import News, PricePath
from ofi_cvd.simulator.regimes import RegimeProcess
from ofi_cvd.simulator.shocks import draw_bursts
from ofi_cvd.simulator.tape import Tape

if TYPE_CHECKING:
    from ofi_cvd.simulator.blocks import Book, Floats
    from ofi_cvd.simulator.depth_model import Side

_LEAN_DECAY = 0.5 ** (STEP_MS / 3_000)  # takers lean to a side with a half-life of 3 s
_IMPACT_LOTS = 5.0  # median trades that move the price by one unit of pressure: the mean is far above the median
_DECAY_SPAN = 256  # steps over which the decay can be divided out without losing precision


class Engine:
    """The seeded market of one symbol; `advance` produces the next block.

    Symbols draw from independent random streams: which others are simulated
    beside this one changes nothing.  Picklable, so that a market can go on in
    another process.
    """

    def __init__(self, symbol: str, seed: int, start_ms: int, rate: float = 1.0) -> None:
        """Open the market of `symbol` at `start_ms`, rounded down to 100 ms.

        Raises:
            InputError: a negative seed.
        """
        if seed < 0:
            raise InputError(f"expected a seed of at least 0, found {seed}")
        self.symbol, self.spec, self.rate = symbol, instrument_for(symbol), rate
        self.now_ms = start_ms - start_ms % STEP_MS
        code = zlib.crc32(symbol.encode())
        resting, regimes, flow, quotes, network = (
            np.random.default_rng(child) for child in np.random.SeedSequence([seed, code]).spawn(5)
        )
        self.quote_rng, self.network_rng, self._rng = quotes, network, flow
        self.depth_model = DepthModel(self.spec, resting)
        self.full_book = FullBook()
        self._regimes = RegimeProcess(self.spec, regimes, self.now_ms)
        self._price = PricePath(self.spec, self.depth_model, update=4_984_028_000_000 + code)
        self._tape = Tape(self.spec, agg_id=2_000_000_000 + code % 10**8, trade_id=5_100_000_000 + code % 10**9)
        per_step = self.spec.trades_per_s * rate / STEPS_PER_SECOND
        self._typical_lots = _IMPACT_LOTS * self.spec.trade_lots * max(1.0, per_step)
        self._excitement = Excitement()
        self._lean = 0.0

    def advance(self, steps: int) -> Block:
        """Return the next `steps` steps of 100 ms."""
        start_ms, rng = self.now_ms, self._rng
        tps, vol = self._regimes.over(start_ms + STEP_MS * np.arange(steps, dtype=np.int64))
        burst = draw_bursts(steps, self.spec, rng)
        counts = arrivals_per_step((tps + burst.extra_tps) * self.rate, self._excitement, rng)
        moving = (rng.random(steps) < 0.98 - 0.06 / (0.5 + tps)) | (counts > 0)
        moving[0] = True  # a block opens with a frame, so that none depends on a frozen past
        shared = rng.standard_normal(steps)
        log_odds = 1.2 * shared + 0.8 * self._leaning(rng.standard_normal(steps)) + burst.side_bias
        large_share = large_shares(start_ms + STEP_MS * np.flatnonzero(moving))
        flow = self._tape.draw(counts[moving], log_odds[moving], burst.size_factor[moving], large_share, rng)
        pressure = np.zeros(steps)
        pressure[moving] = flow.pressure(int(np.count_nonzero(moving)), self._typical_lots)
        book = self._price.advance(start_ms, News(shared, pressure, vol, tps, burst), moving, rng)
        trades = self._tape.execute(flow, book, rng)
        self.now_ms = start_ms + steps * STEP_MS
        return Block(start_ms, self.now_ms, trades, book)

    def levels(self, book: Book, depth: int) -> tuple[Side, Side]:
        """Return bids and asks of `depth` levels for every row of `book`."""
        bids = self.depth_model.side(book.after.bid, book.after.bid_lots, book.step, depth, ask=False)
        asks = self.depth_model.side(book.after.ask, book.after.ask_lots, book.step, depth, ask=True)
        return bids, asks

    def _leaning(self, draws: Floats) -> Floats:
        """Return a first-order autoregression of unit variance, carried on from the last block."""
        out: Floats = draws * math.sqrt(1.0 - _LEAN_DECAY**2)
        for start in range(0, out.size, _DECAY_SPAN):
            part = out[start : start + _DECAY_SPAN]
            weights = np.power(_LEAN_DECAY, np.arange(1, part.size + 1))
            part[:] = weights * (self._lean + np.cumsum(part / weights))
            self._lean = float(part[-1])
        return out
