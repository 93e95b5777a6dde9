"""A tiny dataset that ships with the package: twelve minutes of two simulated symbols.

It is simulated, not recorded: prices and flows come from the package's own market model. Buckets of order-flow imbalance are
one second wide instead of 100 ms, and volatility labels begin after five minutes, so that it is small and complete.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ofi_cvd.dataset.reader import Dataset
    from ofi_cvd.dataset.times import When

SAMPLE_DIR: Final = Path(__file__).parent / "sample_data"
"""The folder of the sample. It belongs to the installed package: read it, never write there."""


def open_sample(*, start: When | None = None, end: When | None = None) -> Dataset:
    """Open the sample: twelve simulated minutes of ADAUSDT and BNBUSDT from 2026-01-05 00:00 UTC.

    Example:
        >>> from ofi_cvd import open_sample
        >>> open_sample(start="2026-01-05 00:10").prices.select("ts_ms").first().collect().item() >= 1767571800000
        True
    """
    from ofi_cvd.dataset.reader import open_dataset  # noqa: PLC0415  # the reader's examples use this module

    return open_dataset(SAMPLE_DIR, start=start, end=end)
