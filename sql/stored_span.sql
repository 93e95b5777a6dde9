-- The first and the last row of trades and books that are stored.
-- grain: one row
SELECT min(ts_ms) AS first_ms, max(ts_ms) AS last_ms
FROM (SELECT ts_ms FROM prices UNION ALL SELECT ts_ms FROM ofi)
