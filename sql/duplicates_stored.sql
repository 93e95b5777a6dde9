-- Rows stored more than once (gate duplicates): trades by id, the other tables by time.
-- grain: one row per symbol and table with rows
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
WITH counted AS (
    SELECT symbol, 'prices' AS kind, count(*) AS n, count(DISTINCT agg_trade_id) AS different
    FROM prices WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY symbol
    UNION ALL
    SELECT symbol, 'cvd', count(*), count(DISTINCT agg_trade_id)
    FROM cvd WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY symbol
    UNION ALL
    SELECT symbol, 'ofi', count(*), count(DISTINCT ts_ms)
    FROM ofi WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY symbol
    UNION ALL
    SELECT symbol, 'fusion', count(*), count(DISTINCT ts_ms)
    FROM fusion WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY symbol
    UNION ALL
    SELECT symbol, 'events', count(*), count(DISTINCT (ts_ms, event_type, meta_json))
    FROM events WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY symbol
)
SELECT symbol, kind, n, n - different AS duplicates, (n - different) / n AS duplicate_rate
FROM counted
ORDER BY symbol, kind
