"""What one analysis is asked to do: every parameter that decides a number of its output."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Final

from ofi_cvd.dataset.forward import Price
from ofi_cvd.errors import InputError
from ofi_cvd.schemas import Kind

SIGNALS: Final[dict[str, Kind]] = {
    "ofi_z": "ofi",
    "z_cvd": "cvd",
    "ofi_flow_z": "fusion",
    "cvd_flow_z": "fusion",
    "score": "fusion",
    "score_z": "fusion",
}
"""Signals by published name, and the table each one stands in."""

HORIZONS: Final = (1, 5, 30, 60, 180, 300, 900)
LONGEST_HORIZON: Final = 86_400


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The question; frozen, and canonical as JSON.

    Attributes:
        symbols: symbols to judge; empty means every symbol of the dataset.
        start_ms: first instant of the window, inclusive; None means from the beginning.
        end_ms: end of the window, exclusive; None means to the end.
        signals: names from `SIGNALS`.
        horizons_s: label lengths in seconds.
        price: what is forecast, the mid of the book or the price of trades.
        cost_bps: cost of getting in and out; None means by the fee tier of the rows.
        folds: stretches of the walk-forward split.
        max_rows: rows judged per symbol and signal; longer tables are thinned to every k-th row.
        seed: of the random control times and of the shuffles.
        controls: random control times per event.
        impact: whether the price-impact study is made as well.
        win_secs: the dataset's WIN_SECS, which says how long `suspect` stays on after a gap.
    """

    symbols: tuple[str, ...] = ()
    start_ms: int | None = None
    end_ms: int | None = None
    signals: tuple[str, ...] = tuple(SIGNALS)
    horizons_s: tuple[int, ...] = HORIZONS
    price: Price = "mid"
    cost_bps: float | None = None
    folds: int = 5
    max_rows: int = 100_000
    seed: int = 0
    controls: int = 5
    impact: bool = False
    win_secs: int = field(default=300)

    def __post_init__(self) -> None:
        unknown = [name for name in self.signals if name not in SIGNALS]
        if unknown or not self.signals:
            raise InputError(
                f"--signals: expected names out of {', '.join(SIGNALS)}, found {', '.join(unknown) or 'none'}"
            )
        wrong = [h for h in self.horizons_s if not 1 <= h <= LONGEST_HORIZON]
        if wrong or not self.horizons_s:
            sentence = f"--horizons: expected whole seconds from 1 to {LONGEST_HORIZON}"
            raise InputError(f"{sentence}, found {wrong[0] if wrong else 'none'}")
        if self.start_ms is not None and self.end_ms is not None and self.start_ms >= self.end_ms:
            raise InputError("--start and --end: expected a start before the end")
        least = {"--folds": 2, "--max-rows": 100, "--controls": 1, "--seed": 0}
        given = (self.folds, self.max_rows, self.controls, self.seed)
        for (option, smallest), found in zip(least.items(), given, strict=True):
            if found < smallest:
                raise InputError(f"{option}: expected at least {smallest}, found {found}")
        if self.cost_bps is not None and not 0 <= self.cost_bps < math.inf:
            raise InputError(f"--cost-bps: expected a number of zero or more, found {self.cost_bps}")

    def canonical(self) -> str:
        """Return the parameters as canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """Return the SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()


def parse_horizons(text: str) -> tuple[int, ...]:
    """Return `1,5,30` as sorted whole seconds without repeats.

    Raises:
        InputError: an item that is not a whole number of seconds.
    """
    try:
        return tuple(sorted({int(part) for part in text.split(",") if part.strip()}))
    except ValueError:
        raise InputError(f"--horizons: expected whole seconds such as 1,5,30, found {text!r}") from None
