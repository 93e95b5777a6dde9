-- Receipt minus push time as recorded, clock offset included (gate latency); rows fetched later over REST have none.
-- grain: one row per symbol with trades
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
SELECT
    symbol,
    count(latency_ms) AS n,
    quantile_cont(latency_ms, 0.50) AS p50,
    quantile_cont(latency_ms, 0.90) AS p90,
    quantile_cont(latency_ms, 0.99) AS p99
FROM prices
WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
GROUP BY symbol
ORDER BY symbol
