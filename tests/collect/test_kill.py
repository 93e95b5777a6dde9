"""SIGKILL at random moments: after restart and repair no trade id is missing and every gap of the book is told."""

from __future__ import annotations

from pathlib import Path

from benchmarks.kills import run_kills

KILLS = 3


def test_kills_cost_less_than_a_second_and_no_trade(tmp_path: Path) -> None:
    report = run_kills(tmp_path, KILLS, seed=7)
    assert report.trades > 1000
    assert report.repaired > 0
    assert (report.missing, report.twice) == (0, 0)
    assert report.torn <= 2 * KILLS
    assert report.holes >= 1
    assert report.untold == 0
    assert max(report.lost_s) <= 1.0
