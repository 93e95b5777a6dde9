"""Times of one home: what is shown can be read back, and a name that is not a time is not taken for one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofi_cvd.common.times import HOUR_MS, hour_of, iso_time, parse_stamp, parse_time, show_time, stamp, utc

INSTANTS = st.integers(0, 4_102_444_800_000)  # 1970 to 2100


@given(INSTANTS)
def test_a_time_that_is_shown_is_the_second_it_lies_in(ms: int) -> None:
    second = datetime.fromtimestamp(ms // 1000, UTC)
    assert show_time(ms) == second.strftime("%Y-%m-%d %H:%M:%S")
    assert parse_time("--start", iso_time(ms)) == ms // 1000 * 1000
    assert parse_stamp(stamp(ms)) == ms // 1000 * 1000
    assert utc(ms).microsecond == ms % 1000 * 1000


@given(INSTANTS)
def test_an_hour_holds_its_instants(ms: int) -> None:
    assert hour_of(ms) <= ms < hour_of(ms) + HOUR_MS
    assert hour_of(ms) % HOUR_MS == 0


@pytest.mark.parametrize("text", ["", "20260105T12", "20261305T123000Z", "20260105T123060Z", "2026015T123000Z"])
def test_a_name_that_is_no_stamp_is_not_taken_for_one(text: str) -> None:
    assert parse_stamp(text) is None
