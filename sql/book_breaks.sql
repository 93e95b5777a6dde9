-- Breaks of the order book's stream that the recorder saw.
-- grain: one row per symbol with such a break
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
SELECT symbol, count(*) AS book_breaks
FROM ledger
WHERE event = 'gap' AND symbol IS NOT NULL
    AND (stream LIKE '%depth%' OR stream LIKE '%bookTicker%')
    AND recv_ns >= $start_ms * 1000000 AND recv_ns < $end_ms * 1000000
GROUP BY symbol
ORDER BY symbol
