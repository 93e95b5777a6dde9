-- Trades in each scenario within each session (gate coverage_session).
-- grain: one row per symbol of the run and session
-- params: $symbols VARCHAR[] symbols of the run
--   $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
SELECT
    run.symbol,
    sessions.session,
    count(prices.ts_ms) AS n,
    count(*) FILTER (prices.scenario_2x2 = 'A_H') AS a_h,
    count(*) FILTER (prices.scenario_2x2 = 'A_L') AS a_l,
    count(*) FILTER (prices.scenario_2x2 = 'Q_H') AS q_h,
    count(*) FILTER (prices.scenario_2x2 = 'Q_L') AS q_l
FROM (SELECT unnest($symbols::VARCHAR[]) AS symbol) AS run
CROSS JOIN (VALUES (1, 'Tokyo'), (2, 'London'), (3, 'NY')) AS sessions (place, session)
LEFT JOIN prices
    ON prices.symbol = run.symbol AND prices.session = sessions.session
    AND prices.ts_ms >= $start_ms AND prices.ts_ms < $end_ms
GROUP BY run.symbol, sessions.place, sessions.session
ORDER BY run.symbol, sessions.place
