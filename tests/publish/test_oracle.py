"""The package against the oracle: any small market, and the real captures."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings

from tests.datasets import assert_same_tables, build_frames
from tests.oracles import oracle_dataset
from tests.strategies import Market, markets


@given(markets())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_market_equals_the_oracle(market: Market):
    """All rows and columns of all five tables, with every fault the strategies know."""
    assume(market.frames)
    with tempfile.TemporaryDirectory() as folder:
        found = build_frames(Path(folder), market.frames, market.ledger, market.params)
    assert_same_tables(found, oracle_dataset(market.frames, market.ledger, market.params))


CAPTURES = Path(__file__).parents[3] / "shared" / "data"
