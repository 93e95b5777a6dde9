-- Values that are NaN or infinite, which no table may hold (gate winsor).
-- grain: one row per symbol and table that has such values
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
SELECT symbol, 'prices' AS kind, count(*) AS n
FROM prices
WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
    AND NOT (isfinite(price) AND isfinite(qty) AND isfinite(coalesce(latency_ms, 0)) AND isfinite(coalesce(recv_rate_tps, 0)))
GROUP BY symbol
UNION ALL
SELECT symbol, 'ofi', count(*)
FROM ofi
WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
    AND NOT (
        isfinite(ofi_value) AND isfinite(coalesce(ofi_z, 0)) AND isfinite(coalesce(scale, 0))
        AND isfinite(ofi_l1) AND isfinite(coalesce(mid, 0)) AND isfinite(coalesce(spread_bps, 0))
    )
GROUP BY symbol
UNION ALL
SELECT symbol, 'cvd', count(*)
FROM cvd
WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
    AND NOT (
        isfinite(cvd) AND isfinite(delta) AND isfinite(coalesce(z_raw, 0)) AND isfinite(coalesce(z_cvd, 0))
        AND isfinite(coalesce(scale, 0)) AND isfinite(coalesce(sigma_floor, 0))
    )
GROUP BY symbol
UNION ALL
SELECT symbol, 'fusion', count(*)
FROM fusion
WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
    AND NOT (
        isfinite(coalesce(score, 0)) AND isfinite(coalesce(score_z, 0)) AND isfinite(ofi_flow)
        AND isfinite(coalesce(cvd_flow, 0)) AND isfinite(coalesce(ofi_flow_z, 0)) AND isfinite(coalesce(cvd_flow_z, 0))
        AND isfinite(coalesce(consistency, 0)) AND isfinite(coalesce(mid, 0))
    )
GROUP BY symbol
ORDER BY symbol, kind
