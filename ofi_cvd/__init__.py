"""Trustworthy order-flow data from crypto exchanges, on a researcher's own machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ofi_cvd.dataset.reader import Dataset, open_dataset
    from ofi_cvd.dataset.sample import open_sample

__version__ = "0.2.0"
__all__ = ["Dataset", "__version__", "open_dataset", "open_sample"]


def __getattr__(name: str) -> object:
    """Load the reader when it is first asked for, so that `import ofi_cvd` stays quick."""
    if name in {"Dataset", "open_dataset"}:
        from ofi_cvd.dataset import reader as dataset  # noqa: PLC0415

        return getattr(dataset, name)
    if name == "open_sample":
        from ofi_cvd.dataset import sample  # noqa: PLC0415

        return sample.open_sample
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
