-- Whole minutes of the run without an order book (gate book_minutes). A source that sends the book at a fixed pace has a
-- row in every minute. One that speaks only on change may be quiet: its minutes count if they meet a gap or a silence
-- that the ledger has, or lie in a stretch of WIN_SECS or more without a row.
-- grain: one row per symbol of the run
-- params: $symbols VARCHAR[] symbols of the run
--   $start_ms BIGINT start of the run
--   $end_ms BIGINT end of the run, exclusive
--   $source VARCHAR the stream that the book is taken from (BOOK_SOURCE)
--   $on_change BIGINT 1 if that stream speaks only when the book changes, else 0
--   $win_secs BIGINT length of a stretch without a row that counts in any case (WIN_SECS)
WITH run AS (SELECT unnest($symbols::VARCHAR[]) AS symbol),
grid AS (SELECT symbol, unnest(range(($start_ms + 59999) // 60000, $end_ms // 60000)) AS minute FROM run),
booked AS (
    SELECT symbol, ts_ms // 60000 AS minute, min(ts_ms) AS first_ms, max(ts_ms) AS last_ms, count(*) AS n
    FROM ofi
    WHERE ts_ms >= $start_ms AND ts_ms < $end_ms
    GROUP BY ALL
),
stretches AS (
    SELECT symbol, lag(last_ms, 1, $start_ms) OVER (PARTITION BY symbol ORDER BY minute) AS from_ms, first_ms AS to_ms
    FROM booked
    UNION ALL
    SELECT symbol, max(last_ms), $end_ms FROM booked GROUP BY symbol
),
outages AS (
    SELECT symbol, from_ms, to_ms FROM stretches WHERE to_ms - from_ms >= 1000 * $win_secs
    UNION ALL
    SELECT symbol, coalesce(start_ms, recv_ns // 1000000), coalesce(end_ms, recv_ns // 1000000)
    FROM ledger
    WHERE event = 'gap' AND stream = $source
    UNION ALL
    SELECT
        symbol,
        recv_ns // 1000000 - (1000 * coalesce(TRY_CAST(rest ->> '$.silent_s' AS DOUBLE), 0))::BIGINT,
        recv_ns // 1000000
    FROM ledger
    WHERE event = 'silent' AND stream = $source
),
empty AS (
    SELECT grid.symbol, grid.minute
    FROM grid
    ANTI JOIN booked USING (symbol, minute)
),
counted AS (
    SELECT empty.symbol, empty.minute
    FROM empty
    WHERE $on_change = 0
        OR NOT EXISTS (FROM booked WHERE booked.symbol = empty.symbol)
        OR EXISTS (
            FROM outages
            WHERE outages.symbol = empty.symbol
                AND outages.from_ms < 60000 * (empty.minute + 1) AND outages.to_ms >= 60000 * empty.minute
        )
)
SELECT
    run.symbol,
    (SELECT coalesce(sum(n), 0)::BIGINT FROM booked WHERE booked.symbol = run.symbol) AS n,
    greatest(0, $end_ms // 60000 - ($start_ms + 59999) // 60000) AS minutes,
    count(counted.minute) AS book_empty_minutes,
    count(counted.minute) / greatest(1, $end_ms // 60000 - ($start_ms + 59999) // 60000) AS book_empty_minute_rate,
    60000 * min(counted.minute) AS first_empty_ms
FROM run
LEFT JOIN counted ON counted.symbol = run.symbol
GROUP BY run.symbol
ORDER BY run.symbol
