-- Rows of every table in the window.
-- grain: one row per symbol of the run and table
-- params: $symbols VARCHAR[] symbols of the run
--   $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
WITH stored AS (
    SELECT symbol, 'prices' AS kind, count(*) AS n FROM prices WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY symbol
    UNION ALL
    SELECT symbol, 'ofi', count(*) FROM ofi WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY symbol
    UNION ALL
    SELECT symbol, 'cvd', count(*) FROM cvd WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY symbol
    UNION ALL
    SELECT symbol, 'fusion', count(*) FROM fusion WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY symbol
    UNION ALL
    SELECT symbol, 'events', count(*) FROM events WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY symbol
),
run AS (SELECT unnest($symbols::VARCHAR[]) AS symbol)
SELECT run.symbol, kinds.kind, coalesce(stored.n, 0) AS n
FROM run
CROSS JOIN (VALUES (1, 'prices'), (2, 'ofi'), (3, 'cvd'), (4, 'fusion'), (5, 'events')) AS kinds (place, kind)
LEFT JOIN stored ON stored.symbol = run.symbol AND stored.kind = kinds.kind
ORDER BY run.symbol, kinds.place
