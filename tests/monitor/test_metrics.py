"""Metrics: the names of the specification, exactly, and nothing of the process's default registry."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.errors import SettingError
from ofi_cvd.monitor.feed import RecorderFeed, build_figures, dataset_figures
from ofi_cvd.monitor.metrics import METRICS, Metrics
from ofi_cvd.monitor.server import MetricsServer

SPEC_14 = """recv_rate_tps, ws_reconnects_total, dedup_hits_total, latency_ms_p50, latency_ms_p90, latency_ms_p99,
cvd_scale_median, cvd_floor_hit_rate, write_errors_total, parquet_flush_sec, scene_coverage_miss, trade_gaps_total,
trade_ids_repaired_total, book_breaks_total, dropped_frames_total, stream_silence_sec, spool_lag_sec, build_lag_sec,
clock_offset_ms, latency_raw_ms_p50, latency_raw_ms_p90, latency_raw_ms_p99, trade_ids_open, build_lag_limit_sec,
report_overdue_sec"""
NAMES = {name.strip() for name in SPEC_14.replace("\n", " ").split(",")}


def recorder() -> RecorderStats:
    """A recorder that has seen a little of everything."""
    stats = RecorderStats(reconnects=3, write_errors=2, spool_lag_s=0.25, clock_offset_ms=-4.5)
    trades, book = stats.stream("BTCUSDT", "aggTrade"), stats.stream("BTCUSDT", "depth10@100ms")
    trades.rate, trades.duplicates, trades.gaps, trades.repaired, trades.silence_s = 12.5, 7, 4, 9, 1.5
    trades.missing, trades.unrepairable = 15, 1
    for ms in range(1, 101):
        trades.latency_ms.add(ms)
    book.breaks, book.dropped = 1, 6
    return stats


def fed() -> Metrics:
    metrics = Metrics()
    RecorderFeed(metrics, silence_secs=15.0).update(recorder(), {("BTCUSDT", "aggTrade"): 40.0})
    build_figures(metrics, lag_s=61.0, flush_s=0.4, write_errors=1)
    dataset_figures(metrics, {"BTCUSDT": {"scale_median": 0.8, "floor_hit_rate": 0.2}})
    for name, value in (("scene_coverage_miss", 3), ("build_lag_limit_sec", 305), ("report_overdue_sec", 0)):
        metrics.set(name, value)
    return metrics


def scrape(port: int) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_names_are_those_of_the_specification() -> None:
    """Those, no more and no less."""
    assert set(METRICS) == NAMES


def test_a_scrape_has_every_name_with_its_value() -> None:
    """What the rooms counted is what Prometheus reads; there is no series besides."""
    with MetricsServer(fed(), "127.0.0.1:0") as server:
        found = scrape(server.port)
    assert {name for name, _ in found} == NAMES
    stream = (("stream", "aggTrade"), ("symbol", "BTCUSDT"))
    assert found["recv_rate_tps", stream] == 12.5
    assert found["dedup_hits_total", stream] == 7
    assert [found[f"latency_raw_ms_p{q}", stream] for q in (50, 90, 99)] == [50, 90, 99]
    assert [found[f"latency_ms_p{q}", stream] for q in (50, 90, 99)] == [45.5, 85.5, 94.5]  # as the gate judges it
    assert found["trade_ids_open", (("symbol", "BTCUSDT"),)] == 5
    assert found["ws_reconnects_total", ()] == 3
    assert found["trade_gaps_total", (("kind", "found"), ("symbol", "BTCUSDT"))] == 4
    assert found["trade_gaps_total", (("kind", "unrepaired"), ("symbol", "BTCUSDT"))] == 1
    assert found["stream_silence_sec", (("kind", "deadline"), *stream)] == 40
    assert found["stream_silence_sec", (("kind", "now"), *stream)] == 1.5
    assert found["write_errors_total", (("kind", "spool"),)] == 2
    assert found["write_errors_total", (("kind", "parquet"),)] == 1
    assert found["clock_offset_ms", ()] == -4.5
    assert found["scene_coverage_miss", ()] == 3
    assert found["dropped_frames_total", (("stream", "depth10@100ms"), ("symbol", "BTCUSDT"))] == 6


def test_what_is_not_known_is_absent() -> None:
    """A stream without a frame has no latency and no silence, rather than zero."""
    metrics, stats = Metrics(), RecorderStats()
    stats.stream("BTCUSDT", "aggTrade")
    RecorderFeed(metrics, 15.0).update(stats)
    names = {sample.name for sample in metrics.samples()}
    assert not names & {"latency_ms_p50", "latency_ms_p90", "latency_ms_p99", "clock_offset_ms"}
    silence = [sample for sample in metrics.samples() if sample.name == "stream_silence_sec"]
    assert [dict(sample.labels)["kind"] for sample in silence] == ["deadline"]
    metrics.set("clock_offset_ms", 1.0)
    metrics.set("clock_offset_ms", None)
    assert "clock_offset_ms" not in {sample.name for sample in metrics.samples()}


def test_a_stream_that_never_spoke_is_silent_since_it_was_asked_for() -> None:
    """Also while the recorder has told nothing at all; once it speaks, its own silence counts."""
    metrics, stats = Metrics(), RecorderStats()
    stream = (("stream", "depth10@100ms"), ("symbol", "BTCUSDT"))
    feed = RecorderFeed(metrics, 15.0, [("BTCUSDT", "depth10@100ms")])

    def silence() -> dict[str, float]:
        found = [sample for sample in metrics.samples() if sample.name == "stream_silence_sec"]
        assert all(set(stream) < set(sample.labels) for sample in found)
        return {dict(sample.labels)["kind"]: sample.value for sample in found}

    feed.unheard(stats, 40.0)
    assert silence() == {"now": 40.0, "deadline": 15.0}
    stats.stream("BTCUSDT", "depth10@100ms")
    feed.update(stats)
    feed.unheard(stats, 41.0)
    assert silence() == {"now": 41.0, "deadline": 15.0}
    stats.stream("BTCUSDT", "depth10@100ms").silence_s = 0.5
    feed.update(stats)
    feed.unheard(stats, 42.0)
    assert silence() == {"now": 0.5, "deadline": 15.0}


def test_ids_given_up_count_as_gaps() -> None:
    """Each time the recorder gives ids up is one gap, however many ids."""
    metrics, stats = Metrics(), RecorderStats()
    feed = RecorderFeed(metrics, 15.0)
    seen = []
    for unrepairable in (0, 500, 500, 501):
        stats.stream("BTCUSDT", "aggTrade").unrepairable = unrepairable
        feed.update(stats)
        labels = (("kind", "unrepaired"), ("symbol", "BTCUSDT"))
        seen += [s.value for s in metrics.samples() if (s.name, s.labels) == ("trade_gaps_total", labels)]
    assert seen == [0, 1, 1, 2]


def test_the_default_registry_stays_clean() -> None:
    """Another user of the library in this process sees nothing of ours."""
    fed()
    default = {family.name for family in prometheus_client.REGISTRY.collect()}
    assert not {name.removesuffix("_total") for name in NAMES} & default


@pytest.mark.parametrize(
    "wrong", [{"name": "latency"}, {"name": "clock_offset_ms", "symbol": "X"}, {"name": "recv_rate_tps"}]
)
def test_a_name_or_label_of_no_specification_is_refused(wrong: dict[str, str]) -> None:
    """A typing error is found where it is made."""
    with pytest.raises(ValueError, match="expected"):
        Metrics().set(wrong.pop("name"), 1.0, **wrong)


def test_off_serves_nothing_and_a_taken_port_is_named() -> None:
    """METRICS_ADDR=off is a choice; a port that is taken is an error that names the setting."""
    with MetricsServer(Metrics(), "off") as server:
        assert server.port == 0
    with MetricsServer(Metrics(), "127.0.0.1:0") as first, pytest.raises(SettingError, match="METRICS_ADDR"):
        MetricsServer(Metrics(), f"127.0.0.1:{first.port}")


def test_the_port_of_the_files_is_the_default() -> None:
    """Prometheus scrapes where the settings say by default, loopback only."""
    from ofi_cvd.settings import Settings  # noqa: PLC0415

    config = (Path(__file__).parents[2] / "ops" / "prometheus" / "prometheus.yml").read_text("utf-8")
    assert Settings().metrics_addr == "127.0.0.1:9108"
    assert f'targets: ["{Settings().metrics_addr}"]' in config
