-- Trade ids that are absent from the dataset without a word, looked up in the spool (gate trade_ids): those received
-- were not admitted, the others are missing.
-- grain: one row per symbol with absent ids
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
--   $files VARCHAR[] spool files of the trade stream
--   $id_path VARCHAR JSON path of the trade id in a line
WITH steps AS (
    SELECT
        symbol,
        agg_trade_id AS id,
        gap_before,
        lag(agg_trade_id) OVER (PARTITION BY symbol, coalesce(id_epoch, 0) ORDER BY agg_trade_id) AS previous_id
    FROM prices
    WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
),
absent AS (
    SELECT symbol, unnest(range(previous_id + 1, id)) AS id
    FROM steps
    WHERE id - previous_id - 1 > gap_before
),
received AS (
    SELECT DISTINCT
        upper(split_part(json ->> '$.stream', '@', 1)) AS symbol,
        TRY_CAST(json_extract_string(json, $id_path) AS BIGINT) AS id
    FROM read_json_objects($files::VARCHAR[], format = 'newline_delimited', ignore_errors = true)
    WHERE json_type(json) = 'OBJECT'
)
SELECT absent.symbol, count(*) AS absent, count(received.id) AS received
FROM absent
LEFT JOIN received USING (symbol, id)
GROUP BY absent.symbol
ORDER BY absent.symbol
