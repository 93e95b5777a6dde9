"""What each setting of `config.py` means, in the groups of the settings page; one line each, units included."""

from __future__ import annotations

from typing import Final

MEANINGS: Final[dict[str, dict[str, str]]] = {
    "What is recorded": {
        "market": "USD-M futures or spot; one market per dataset",
        "endpoint": "the exchange, or the http URL of a built-in one on this machine",
        "symbols": "symbols to record and to build",
        "trade_stream": "where trades come from: aggregated, or every single one",
        "book_streams": "book streams to record",
        "book_source": "the book stream that order-flow imbalance is built from; empty: the first of BOOK_STREAMS",
    },
    "Where things are": {
        "spool_dir": "the spool",
        "data_dir": "the published tables",
        "state_dir": "checkpoint and states of the build; may be deleted, costs time only",
        "artifacts_dir": "reports and run logs",
    },
    "The recorder": {
        "run_hours": "how long a run lasts",
        "wss_ping_interval": "seconds between the recorder's pings",
        "dedup_lru": "ids remembered per stream to recognise what two connections both delivered",
        "conn_life_secs": "age in seconds at which a connection is replaced, before the exchange ends it at 24 h",
        "first_data_secs": "seconds within which a new stream must deliver",
        "silence_secs": "silence in seconds after which a fast stream's connection is replaced; slow streams get longer",
        "queue_frames": "frames that may wait for the writer before they are dropped and counted",
        "retain_mb": "megabytes kept in memory while the disk refuses writes",
        "max_frame_bytes": "the longest frame that is accepted",
        "connect_budget": "connection attempts from this address within five minutes",
        "seal_after_secs": "rest of an hour in seconds before its files are compressed; 0: never",
        "metrics_addr": "host:port where metrics are served, or off",
    },
    "Slices": {
        "parquet_rotate_sec": "length of a slice in seconds while recording; it divides an hour",
        "grace_secs": "seconds the spool must reach past a slice or hour before it is published or final",
    },
    "Order-flow imbalance": {
        "bucket_ms": "width of a row of `ofi` in ms; it divides a second",
        "levels": "book levels that count",
        "level_weights": "weight of each level, best first; renormalised to the levels the source has",
        "z_win_secs": "trailing window of the z-scores in seconds",
        "z_min_rows": "rows below which a z-score is null",
        "z_min_secs": "age in seconds below which a z-score is null",
        "winsor_limit": "z-scores are clipped to plus and minus this",
    },
    "Cumulative volume delta": {
        "cvd_reset": "when the running sum returns to 0",
        "z_mode": "what `z_raw` measures: a trade's size in units of the going size, or the standard score of `cvd`",
        "scale_mode": "the going size: a mix of two means with a floor, or the slow mean alone",
        "scale_fast_weight": "weight of the fast mean in the mix",
        "fast_half_life_sec": "half-life in seconds of the fast mean size",
        "half_life_sec": "half-life in seconds of the slow mean size",
        "mad_multiplier": "the floor in robust standard deviations of the trade size",
        "mad_window_trades": "trades the floor is measured over",
        "mad_min_trades": "trades below which the scale is null",
    },
    "Fusion": {
        "w_ofi": "weight of the order-flow z-score",
        "w_cvd": "weight of the volume-delta z-score",
    },
    "Labels": {
        "win_secs": "window in seconds of regime and volatility, and of what counts as recent after a gap",
        "active_tps": "trades per second from which a symbol is Active: a rate, its own trailing quantile, or a map",
        "vol_split": "quantile of the trailing volatility above which it is High",
        "vol_lookback_secs": "how far back in seconds that quantile looks",
        "vol_min_secs": "seconds of known volatility before it is called High or Low",
        "write_session_labels": "whether rows carry their trading session",
        "session_hours": "UTC hours of the sessions",
        "scenario_scheme": "how scenarios are named",
        "fee_tier": "fee tier written on each row: one, or a map by symbol",
    },
    "Events": {
        "pivot_span_secs": "seconds on both sides that a pivot must beat",
        "div_max_secs": "most seconds between the two pivots of a divergence",
        "quiet_secs": "seconds an event type rests after it fired",
        "anomaly_z": "z-score from which flow is an anomaly",
        "anomaly_price_sigmas": "one-second return, in its own standard deviations, from which price is an anomaly",
        "conflict_z": "z-score from which opposite flows are a conflict",
    },
}
