-- Rows stored more than once (gate duplicates): trades by id, the other tables by time.
-- grain: one row per symbol and table with rows
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
WITH stepped AS (  -- in order, a row that repeats the key before it; sorting is cheaper than counting distinct keys
    SELECT symbol, 'prices' AS kind, agg_trade_id = lag(agg_trade_id) OVER (
        PARTITION BY symbol, coalesce(id_epoch, 0) ORDER BY agg_trade_id
    ) AS again
    FROM prices WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
    UNION ALL
    SELECT symbol, 'cvd', agg_trade_id = lag(agg_trade_id) OVER (
        PARTITION BY symbol, coalesce(id_epoch, 0) ORDER BY agg_trade_id
    )
    FROM cvd WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
    UNION ALL
    SELECT symbol, 'ofi', ts_ms = lag(ts_ms) OVER (PARTITION BY symbol ORDER BY ts_ms)
    FROM ofi WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
    UNION ALL
    SELECT symbol, 'fusion', ts_ms = lag(ts_ms) OVER (PARTITION BY symbol ORDER BY ts_ms)
    FROM fusion WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
    UNION ALL
    SELECT symbol, 'events', (ts_ms, event_type, meta_json) = lag((ts_ms, event_type, meta_json)) OVER (
        PARTITION BY symbol ORDER BY ts_ms, event_type, meta_json
    )
    FROM events WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
)
SELECT symbol, kind, count(*) AS n, count(*) FILTER (again) AS duplicates, count(*) FILTER (again) / count(*) AS duplicate_rate
FROM stepped
GROUP BY symbol, kind
ORDER BY symbol, kind
