-- Repetitions that the recorder dropped and never wrote: what its `duplicate` records count.
-- grain: one row per symbol and stream with such records
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
SELECT symbol, stream, sum("count")::BIGINT AS dropped
FROM ledger
WHERE event = 'duplicate' AND symbol IS NOT NULL
    AND coalesce(start_ms, recv_ns // 1000000) >= $start_ms AND coalesce(start_ms, recv_ns // 1000000) < $end_ms
GROUP BY symbol, stream
ORDER BY symbol, stream
