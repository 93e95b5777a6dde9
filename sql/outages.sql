-- Outages that the recorder declared: stretches in which no connection carried a stream. A stretch of trades that ids
-- prove contiguous, or that was repaired, has rows and is no hole in a chart.
-- grain: one row per symbol, stream and outage that meets the window
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
SELECT symbol, stream, start_ms, end_ms
FROM ledger
WHERE event = 'gap' AND symbol IS NOT NULL AND start_ms IS NOT NULL AND end_ms IS NOT NULL
    AND start_ms < $end_ms AND end_ms >= $start_ms
ORDER BY symbol, stream, start_ms
