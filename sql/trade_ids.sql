-- Trade ids that are missing (gate trade_ids): declared by gap_before, or absent without a word.
-- The ids of an epoch are counted by themselves; where a later one begins, an unknown number is missing.
-- Absent ids are rows that were seen and not admitted, or rows that were lost after recording.
-- grain: one row per symbol with trades
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
WITH stepped AS (
    SELECT
        symbol,
        ts_ms,
        gap_before,
        gap_before IS NULL AND id_epoch > 0 AS begins_anew,
        agg_trade_id - lag(agg_trade_id) OVER (
            PARTITION BY symbol, coalesce(id_epoch, 0) ORDER BY agg_trade_id
        ) AS step
    FROM prices
    WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
)
SELECT
    symbol,
    count(*) FILTER (gap_before > 0) AS trade_gaps,
    count(*) FILTER (begins_anew) AS epochs_opened,
    coalesce(sum(gap_before), 0)::BIGINT AS trade_ids_missing,
    coalesce(sum(step - 1 - gap_before) FILTER (step > 0), 0)::BIGINT AS ids_absent,  -- before the first row nothing is known
    min(ts_ms) FILTER (gap_before > 0) AS first_gap_ms,
    min(ts_ms) FILTER (begins_anew) AS first_opening_ms
FROM stepped
GROUP BY symbol
ORDER BY symbol
