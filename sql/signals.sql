-- Events by type (gate signals).
-- grain: one row per symbol and event type that occurred
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
SELECT symbol, event_type, count(*) AS n
FROM events
WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
GROUP BY symbol, event_type
ORDER BY symbol, event_type
