-- Published slices whose stored rows are not the rows that were published, and rows outside every published slice
-- (gate slices_complete).
-- grain: one row per symbol, table and slice that disagrees; start_ms is null for rows outside
-- params: $start_ms BIGINT start of the run
--   $end_ms BIGINT end of the run, exclusive
--   $bucket_ms BIGINT a length that divides every published slice
--   $published_symbols VARCHAR[] published slices: symbol
--   $published_kinds VARCHAR[] published slices: table
--   $published_starts BIGINT[] published slices: start
--   $published_ends BIGINT[] published slices: end
--   $published_rows BIGINT[] published slices: rows
WITH published AS (
    SELECT
        unnest($published_symbols::VARCHAR[]) AS symbol,
        unnest($published_kinds::VARCHAR[]) AS kind,
        unnest($published_starts::BIGINT[]) AS start_ms,
        unnest($published_ends::BIGINT[]) AS end_ms,
        unnest($published_rows::BIGINT[]) AS published_rows
),
stored AS (
    SELECT symbol, 'prices' AS kind, ts_ms // $bucket_ms * $bucket_ms AS at_ms, count(*) AS n
    FROM prices WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY ALL
    UNION ALL
    SELECT symbol, 'ofi', ts_ms // $bucket_ms * $bucket_ms, count(*)
    FROM ofi WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY ALL
    UNION ALL
    SELECT symbol, 'cvd', ts_ms // $bucket_ms * $bucket_ms, count(*)
    FROM cvd WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY ALL
    UNION ALL
    SELECT symbol, 'fusion', ts_ms // $bucket_ms * $bucket_ms, count(*)
    FROM fusion WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY ALL
    UNION ALL
    SELECT symbol, 'events', ts_ms // $bucket_ms * $bucket_ms, count(*)
    FROM events WHERE ts_ms >= $start_ms AND ts_ms < $end_ms GROUP BY ALL
),
placed AS (
    SELECT
        stored.symbol,
        stored.kind,
        CASE WHEN stored.at_ms < published.end_ms THEN published.start_ms END AS start_ms,
        sum(stored.n)::BIGINT AS stored_rows
    FROM stored
    ASOF LEFT JOIN published
        ON stored.symbol = published.symbol AND stored.kind = published.kind AND stored.at_ms >= published.start_ms
    GROUP BY ALL
)
SELECT symbol, kind, start_ms, coalesce(published_rows, 0) AS published_rows, coalesce(stored_rows, 0) AS stored_rows
FROM placed
FULL JOIN published USING (symbol, kind, start_ms)
WHERE coalesce(published_rows, 0) <> coalesce(stored_rows, 0)
    -- of a slice that the window cuts, only a part was counted
    AND (start_ms IS NULL OR (start_ms >= $start_ms AND coalesce(end_ms, $end_ms) <= $end_ms))
ORDER BY ALL
