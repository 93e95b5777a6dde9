-- Completeness of the CVD scale after warm-up, and whether the winsor limit ever acted (gate winsor).
-- grain: one row per symbol with trades
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
--   $warm_up BIGINT trades at the start of the window that may be null (MAD_MIN_TRADES)
WITH opening AS (
    SELECT symbol, list_max(min(agg_trade_id, $warm_up)) AS last_warm_id
    FROM cvd
    WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
    GROUP BY symbol
)
SELECT
    cvd.symbol,
    count(*) FILTER (cvd.agg_trade_id > opening.last_warm_id) AS rows_after_warm_up,
    count(*) FILTER (
        cvd.agg_trade_id > opening.last_warm_id
        AND (cvd.scale IS NULL OR cvd.sigma_floor IS NULL OR cvd.floor_used IS NULL)
    ) AS nulls,
    -- with Z_MODE=level a slow market is null by rule, but then in all five columns together
    count(*) FILTER (
        ((cvd.scale IS NULL)::INT + (cvd.sigma_floor IS NULL)::INT + (cvd.floor_used IS NULL)::INT) NOT IN (0, 3)
    ) AS half_nulls,
    count(*) FILTER (abs(cvd.z_raw) > abs(cvd.z_cvd)) AS winsorised,
    median(cvd.scale) AS scale_median,
    avg(cvd.floor_used::INT) AS floor_hit_rate
FROM cvd
JOIN opening USING (symbol)
WHERE cvd.ts_ms >= $start_ms AND cvd.ts_ms < $end_ms
GROUP BY cvd.symbol
ORDER BY cvd.symbol
