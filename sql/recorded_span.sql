-- When the recorder was at work: its first and its last sign of life.
-- grain: one row
SELECT min(recv_ns) // 1000000 AS first_ms, max(recv_ns) // 1000000 AS last_ms
FROM ledger
WHERE event IN ('connect', 'rotate', 'disconnect', 'clock', 'shutdown')  -- seals and repairs come later
