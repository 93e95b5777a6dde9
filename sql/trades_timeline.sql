-- Trades and missing trade ids over time.
-- grain: one row per symbol and bin with trades
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
--   $bin_ms BIGINT width of a bin
SELECT
    symbol,
    ts_ms // $bin_ms * $bin_ms AS bin_ms,
    count(*) AS trades,
    count(*) * 60000.0 / $bin_ms AS trades_per_minute,
    sum(gap_before)::BIGINT AS ids_missing
FROM prices
WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
GROUP BY ALL
ORDER BY symbol, bin_ms
