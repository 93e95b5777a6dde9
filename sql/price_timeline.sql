-- Price over time: the last, lowest and highest of each bin.
-- grain: one row per symbol and bin with trades
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
--   $bin_ms BIGINT width of a bin
SELECT
    symbol,
    ts_ms // $bin_ms * $bin_ms AS bin_ms,
    arg_max(price, agg_trade_id) AS price,
    min(price) AS low,
    max(price) AS high
FROM prices
WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
GROUP BY ALL
ORDER BY symbol, bin_ms
