-- Trades that reached the spool more than once: overlap of connections, repairs of what came late after all.
-- grain: one row per symbol with received trades
-- params: $files VARCHAR[] spool files of the trade stream
--   $id_path VARCHAR JSON path of the trade id in a line
WITH received AS (
    SELECT
        upper(split_part(json ->> '$.stream', '@', 1)) AS symbol,
        TRY_CAST(json_extract_string(json, $id_path) AS BIGINT) AS id
    FROM read_json_objects($files::VARCHAR[], format = 'newline_delimited', ignore_errors = true)
    WHERE json_type(json) = 'OBJECT'
)
SELECT symbol, count(id) AS received, count(id) - count(DISTINCT id) AS duplicates
FROM received
GROUP BY symbol
ORDER BY symbol
