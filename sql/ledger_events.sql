-- What happened to the recording, counted.
-- grain: one row per event, symbol and stream; the last two are null for what concerns all of them
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
SELECT event, symbol, stream, count(*) AS n, sum(missing)::BIGINT AS missing, sum("count")::BIGINT AS frames
FROM ledger
WHERE recv_ns >= $start_ms * 1000000 AND recv_ns < $end_ms * 1000000
GROUP BY event, symbol, stream
ORDER BY event, symbol, stream
