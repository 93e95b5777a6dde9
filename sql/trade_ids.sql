-- Trade ids that are missing (gate trade_ids): declared by gap_before, or absent without a word.
-- Absent ids are rows that were seen and not admitted, or rows that were lost after recording.
-- grain: one row per symbol with trades
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
SELECT
    symbol,
    count(*) FILTER (gap_before > 0) AS trade_gaps,
    sum(gap_before)::BIGINT AS trade_ids_missing,
    (
        max(agg_trade_id) - min(agg_trade_id) + 1 - count(DISTINCT agg_trade_id)
        - (sum(gap_before) - arg_min(gap_before, agg_trade_id))  -- the first row's gap lies before the window
    )::BIGINT AS ids_absent,
    min(ts_ms) FILTER (gap_before > 0) AS first_gap_ms
FROM prices
WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
GROUP BY symbol
ORDER BY symbol
