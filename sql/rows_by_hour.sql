-- Which tables have rows in which clock hour (gate slices_complete): where one has none, the spool is asked why.
-- grain: one row per symbol, table and clock hour with rows
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
SELECT symbol, 'prices' AS kind, ts_ms // 3600000 * 3600000 AS hour_ms, count(*) AS n
FROM prices WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY ALL
UNION ALL
SELECT symbol, 'cvd', ts_ms // 3600000 * 3600000, count(*)
FROM cvd WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY ALL
UNION ALL
SELECT symbol, 'ofi', ts_ms // 3600000 * 3600000, count(*)
FROM ofi WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY ALL
UNION ALL
SELECT symbol, 'fusion', ts_ms // 3600000 * 3600000, count(*)
FROM fusion WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY ALL
ORDER BY symbol, kind, hour_ms
