-- Clock offset measured during the window or shortly before it: exchange's clock minus this machine's, in ms (gate latency).
-- It is measured once a minute, so a window of less than a minute may hold no measurement of its own.
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
WHERE event = 'clock' AND recv_ns >= ($start_ms - 90000) * 1000000 AND recv_ns < $end_ms * 1000000
