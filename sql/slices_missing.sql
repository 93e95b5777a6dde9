-- Slices of the run that are not published (gate slices_complete).
-- grain: one row per symbol of the run and slice that no published slice covers
-- params: $symbols VARCHAR[] symbols of the run
--   $start_ms BIGINT start of the run
--   $end_ms BIGINT end of the run, exclusive
--   $slice_ms BIGINT length of a slice
--   $published_symbols VARCHAR[] published slices: symbol
--   $published_starts BIGINT[] published slices: start
--   $published_ends BIGINT[] published slices: end
WITH published AS (
    SELECT DISTINCT
        unnest($published_symbols::VARCHAR[]) AS symbol,
        unnest($published_starts::BIGINT[]) AS start_ms,
        unnest($published_ends::BIGINT[]) AS end_ms
),
expected AS (
    SELECT symbol, unnest(range($start_ms // $slice_ms * $slice_ms, $end_ms, $slice_ms)) AS start_ms
    FROM (SELECT unnest($symbols::VARCHAR[]) AS symbol)
)
SELECT expected.symbol, expected.start_ms
FROM expected
ASOF LEFT JOIN published ON expected.symbol = published.symbol AND expected.start_ms >= published.start_ms
WHERE published.end_ms IS NULL OR published.end_ms < least(expected.start_ms + $slice_ms, $end_ms)
ORDER BY expected.symbol, expected.start_ms
