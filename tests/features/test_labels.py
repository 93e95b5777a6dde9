"""Sessions, regimes and where rows take their labels (docs/specification/labels.md)."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from ofi_cvd.features.labels import labelled, scenario_2x2, session, with_labels, without_outages
from ofi_cvd.settings import Settings, load

HOUR_MS = 3_600_000


def chosen(**options: object) -> Settings:
    return load(options, environ={}, toml=Path("none.toml")).settings


def sessions(settings: Settings, hours: list[float]) -> list[str | None]:
    frame = pl.DataFrame({"ts_ms": [int(hour * HOUR_MS) for hour in hours]}, schema={"ts_ms": pl.Int64})
    return frame.with_columns(session(settings).alias("session"))["session"].to_list()


def test_sessions_by_the_hour_of_the_day() -> None:
    """Half-open, of any day."""
    hours = [0, 7.999, 8, 15.999, 16, 23.999, 24, 24 * 400 + 8]
    wanted = ["Tokyo", "Tokyo", "London", "London", "NY", "NY", "Tokyo", "London"]
    assert sessions(chosen(), hours) == wanted


def test_sessions_may_leave_hours_out() -> None:
    """An hour of no session is null, as are all where sessions are not wanted."""
    some = chosen(session_hours="Tokyo=0-6,NY=14-21")
    assert sessions(some, [5, 6, 13, 14, 21]) == ["Tokyo", None, None, "NY", None]
    assert sessions(chosen(write_session_labels=False), [1, 9]) == [None, None]


@pytest.mark.parametrize(
    ("active_tps", "counts", "wanted"),
    [
        ("2.0", [9, 10, 11], ["Quiet", "Active", "Active"]),
        ("0.3", [1, 2, 3], ["Quiet", "Active", "Active"]),  # 1.5 trades in 5 s: two or more
        ("q0.5", [1, 2, 3], ["Quiet", "Active", "Active"]),
        ("q0.5", [4, 4, 4], ["Quiet", "Quiet", "Quiet"]),
        ("ETHUSDT=9,*=0.2", [0, 1, 2], ["Quiet", "Active", "Active"]),
        ("ETHUSDT=9", [9, 10, 11], ["Quiet", "Active", "Active"]),  # not in the map: the default rate
    ],
)
def test_regimes_compare_counts(active_tps: str, counts: list[int], wanted: list[str]) -> None:
    """Of the trades in the window, at least so many; with a quantile, more than its own history."""
    settings = chosen(win_secs=5, vol_min_secs=0, active_tps=active_tps)
    history = pl.LazyFrame(
        {"ts_ms": [5_000, 6_000, 7_000], "rv": [0.0] * 3, "trades_in_window": counts},
        schema={"ts_ms": pl.Int64, "rv": pl.Float64, "trades_in_window": pl.Int64},
    )
    found = with_labels(history, settings, "BTCUSDT", 0).collect()
    assert found["regime"].to_list() == wanted
    assert found["vol_bucket"].to_list() == ["Low"] * 3  # a constant price is Low


def test_volatility_is_high_above_its_own_quantile() -> None:
    """Ties are Low; the current value is one of those compared with; null until WIN_SECS + VOL_MIN_SECS."""
    settings = chosen(win_secs=5, vol_min_secs=2, vol_lookback_secs=3)
    values = [1.0, 1.0, 2.0, 1.5, 3.0, 3.0, 0.5]
    history = pl.LazyFrame({"ts_ms": [5_000 + i * 1_000 for i in range(7)], "rv": values, "trades_in_window": [0] * 7})
    found = with_labels(history, settings, "BTCUSDT", 0).collect()["vol_bucket"].to_list()
    assert found == [None, None, "High", "Low", "High", "Low", "Low"]


def test_labels_are_null_for_a_window_after_an_outage() -> None:
    """From its end on, for WIN_SECS; the scenario with them."""
    grid = pl.LazyFrame({"ts_ms": [1_000 * i for i in range(8)]}).with_columns(
        regime=pl.lit("Active"), vol_bucket=pl.lit("Low")
    )
    found = without_outages(grid, [1_500], 3).collect()
    assert found["regime"].is_null().to_list() == [False, False, True, True, True, False, False, False]
    assert found["scenario_2x2"].to_list() == ["A_L", "A_L", None, None, None, "A_L", "A_L", "A_L"]


def test_a_scenario_is_two_letters() -> None:
    """Null where either label is."""
    frame = pl.DataFrame({"regime": ["Active", "Quiet", None, "Quiet"], "vol_bucket": ["High", "Low", "Low", None]})
    assert frame.select(scenario_2x2().alias("s"))["s"].to_list() == ["A_H", "Q_L", None, None]


def test_a_row_takes_the_labels_of_its_second() -> None:
    """`floor(x / 1 s)`; none where the grid has no such second."""
    grid = pl.LazyFrame({"ts_ms": [1_000, 2_000], "regime": ["Quiet", "Active"]}).with_columns(
        vol_bucket=pl.lit("Low"), scenario_2x2=scenario_2x2_of("regime")
    )
    table = pl.LazyFrame({"ts_ms": [999, 1_000, 1_999, 2_000, 3_000]})
    found = labelled(table, grid, chosen(fee_tier="ETHUSDT=TL"), "ETHUSDT").collect()
    assert found["regime"].to_list() == [None, "Quiet", "Quiet", "Active", None]
    assert found["scenario_2x2"].to_list() == [None, "Q", "Q", "A", None]
    assert found["session"].to_list() == ["Tokyo"] * 5
    assert found["fee_tier"].to_list() == ["TL"] * 5
    assert found["symbol"].to_list() == ["ETHUSDT"] * 5


def scenario_2x2_of(column: str) -> pl.Expr:
    return pl.col(column).str.head(1)
