"""Full depth against the built-in exchange: changes, snapshots at the start and after a break, context beside them."""

from __future__ import annotations

from pathlib import Path

from ofi_cvd.exchange.server import Exchange
from ofi_cvd.exchange.source import MarketSource
from ofi_cvd.simulator.live import Market
from tests.collect.rig import book_breaks, events, recording, rows, settings

DIFF = "depth@100ms"


def simulated() -> MarketSource:
    return MarketSource(
        ("BTCUSDT",),
        lambda name, start_ms: Market(name, 1, start_ms, streams=("aggTrade", DIFF, "markPrice@1s", "forceOrder")),
    )


async def test_changes_are_recorded_with_a_snapshot_that_they_continue(tmp_path: Path) -> None:
    async with Exchange(simulated()) as exchange:
        chosen = settings(
            exchange, tmp_path, book_streams=DIFF, book_source=DIFF, context_streams="markPrice@1s,forceOrder",
            first_data_secs=5.0, silence_secs=5.0,
        )  # fmt: skip
        async with recording(chosen) as run:
            await run.until(lambda stats: stats.stream("BTCUSDT", DIFF).received > 20)
            exchange.inject("gap", f"btcusdt@{DIFF}", count=2)
            await run.until(lambda stats: stats.stream("BTCUSDT", DIFF).breaks == 1)
            await run.frames(30)
            await run.until(lambda stats: stats.stream("BTCUSDT", "markPrice@1s").received >= 2)
    ((_, after),) = book_breaks(tmp_path, "BTCUSDT", DIFF)
    told = events(tmp_path, "snapshot")
    assert next(row["reason"] for row in told if row["reason"] != "start") == "break"
    changes = [row["data"] for row, _ in rows(tmp_path, "BTCUSDT", DIFF)]
    snapshots = [row["data"]["lastUpdateId"] for row, _ in rows(tmp_path, "BTCUSDT", "depthSnapshot")]
    assert len(snapshots) == len(told) >= 2
    for chain in ([row for row in changes if row["u"] < after], [row for row in changes if row["u"] >= after]):
        assert any(row["pu"] <= number <= row["u"] for number in snapshots for row in chain)
