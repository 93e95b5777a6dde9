"""The sample, and a market made up for one test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ofi_cvd import open_sample
from ofi_cvd.dataset.reader import Dataset


@pytest.fixture
def sample() -> Iterator[Dataset]:
    """The dataset that ships with the package."""
    with open_sample() as dataset:
        yield dataset
