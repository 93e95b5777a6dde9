-- Minutes of the run, not of the data, in which a symbol has no trade (gate empty_minutes).
-- grain: one row per symbol of the run
-- params: $symbols VARCHAR[] symbols of the run
--   $start_ms BIGINT start of the run
--   $end_ms BIGINT end of the run, exclusive
WITH grid AS (
    SELECT symbol, unnest(range($start_ms // 60000, ($end_ms + 59999) // 60000)) AS minute
    FROM (SELECT unnest($symbols::VARCHAR[]) AS symbol)
),
traded AS (
    SELECT DISTINCT symbol, ts_ms // 60000 AS minute
    FROM prices
    WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
)
SELECT
    grid.symbol,
    count(*) AS minutes,
    count(*) FILTER (traded.minute IS NULL) AS empty_minutes,
    count(*) FILTER (traded.minute IS NULL) / count(*) AS empty_minute_rate,
    60000 * min(grid.minute) FILTER (traded.minute IS NULL) AS first_empty_ms
FROM grid
LEFT JOIN traded USING (symbol, minute)
GROUP BY grid.symbol
ORDER BY grid.symbol
