-- Clock offset over time: exchange's clock minus this machine's, in ms.
-- grain: one row per bin with a measurement
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
--   $bin_ms BIGINT width of a bin
SELECT recv_ns // 1000000 // $bin_ms * $bin_ms AS bin_ms, median(offset_ms) AS offset_ms
FROM ledger
WHERE event = 'clock' AND offset_ms IS NOT NULL
    AND recv_ns >= $start_ms * 1000000 AND recv_ns < $end_ms * 1000000
GROUP BY ALL
ORDER BY bin_ms
