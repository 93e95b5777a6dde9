-- Recorded latency over time, all symbols together, clock offset included.
-- grain: one row per bin with trades
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
--   $bin_ms BIGINT width of a bin
SELECT
    ts_ms // $bin_ms * $bin_ms AS bin_ms,
    quantile_cont(latency_ms, 0.50) AS p50,
    quantile_cont(latency_ms, 0.90) AS p90,
    quantile_cont(latency_ms, 0.99) AS p99
FROM prices
WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
GROUP BY ALL
ORDER BY bin_ms
