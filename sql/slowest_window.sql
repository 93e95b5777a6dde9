-- The slowest and the busiest window of WIN_SECS: what ACTIVE_TPS would have to be for a symbol to go Quiet.
-- grain: one row per symbol that has been traded for at least one window
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
--   $win_secs BIGINT length of the windows compared (WIN_SECS)
WITH counted AS (
    SELECT symbol, (ts_ms + 999) // 1000 AS second, count(*) AS n
    FROM prices
    WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
    GROUP BY ALL
),
ages AS (SELECT symbol, min(second) AS first_second, max(second) AS last_second FROM counted GROUP BY symbol),
grid AS (SELECT symbol, first_second, unnest(range(first_second, last_second + 1)) AS second FROM ages),
windows AS (
    SELECT
        grid.symbol,
        grid.second,
        grid.second >= grid.first_second + $win_secs AS whole,
        sum(coalesce(counted.n, 0)) OVER (
            PARTITION BY grid.symbol ORDER BY grid.second ROWS BETWEEN $win_secs - 1 PRECEDING AND CURRENT ROW
        ) AS trades
    FROM grid
    LEFT JOIN counted USING (symbol, second)
)
SELECT
    symbol,
    min(trades)::BIGINT AS slowest_trades,
    min(trades) / $win_secs AS slowest_tps,
    1000 * arg_min(second, (trades, second)) AS slowest_end_ms,  -- of several the first
    max(trades) / $win_secs AS busiest_tps
FROM windows
WHERE whole
GROUP BY symbol
ORDER BY symbol
