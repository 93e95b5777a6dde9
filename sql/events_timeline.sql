-- Events over time.
-- grain: one row per symbol, event type and bin with events
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
--   $bin_ms BIGINT width of a bin
SELECT symbol, event_type, ts_ms // $bin_ms * $bin_ms AS bin_ms, count(*) AS n
FROM events
WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
GROUP BY ALL
ORDER BY symbol, event_type, bin_ms
