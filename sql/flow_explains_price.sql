-- How much of the one-second change of the mid price the order flow of the same second explains.
-- grain: one row per symbol with fusion rows
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
WITH steps AS (
    SELECT
        symbol,
        ofi_flow,
        mid - lag(mid) OVER second AS change,
        ts_ms - lag(ts_ms) OVER second AS step_ms
    FROM fusion
    WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
    WINDOW second AS (PARTITION BY symbol ORDER BY ts_ms)
)
SELECT symbol, count(*) AS n, regr_r2(change, ofi_flow) AS r2, regr_slope(change, ofi_flow) AS slope
FROM steps
WHERE step_ms = 1000 AND change IS NOT NULL
GROUP BY symbol
ORDER BY symbol
