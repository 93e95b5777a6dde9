-- Clock offset measured during the window: exchange's clock minus this machine's, in ms (gate latency).
-- True latency is recorded latency plus offset.
-- grain: one row
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
SELECT
    count(offset_ms) AS n,
    median(offset_ms) AS offset_ms,
    min(offset_ms) AS lowest_ms,
    max(offset_ms) AS highest_ms,
    median(rtt_ms) AS rtt_ms
FROM ledger
WHERE event = 'clock' AND recv_ns >= $start_ms * 1000000 AND recv_ns < $end_ms * 1000000
