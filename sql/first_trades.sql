-- When each symbol's one-second grid begins: the end of the second of its first trade (coverage gates: warm-up).
-- grain: one row per symbol with trades
SELECT symbol, (min(ts_ms) + 999) // 1000 * 1000 AS first_ms
FROM prices
GROUP BY symbol
ORDER BY symbol
