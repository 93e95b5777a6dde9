-- Trades in each scenario (gate coverage_scene), and in each regime for the hint about ACTIVE_TPS.
-- grain: one row per symbol of the run
-- params: $symbols VARCHAR[] symbols of the run
--   $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
SELECT
    run.symbol,
    count(prices.ts_ms) AS n,
    count(*) FILTER (prices.scenario_2x2 = 'A_H') AS a_h,
    count(*) FILTER (prices.scenario_2x2 = 'A_L') AS a_l,
    count(*) FILTER (prices.scenario_2x2 = 'Q_H') AS q_h,
    count(*) FILTER (prices.scenario_2x2 = 'Q_L') AS q_l,
    count(*) FILTER (prices.regime = 'Active') AS active,
    count(*) FILTER (prices.regime = 'Quiet') AS quiet
FROM (SELECT unnest($symbols::VARCHAR[]) AS symbol) AS run
LEFT JOIN prices ON prices.symbol = run.symbol AND prices.ts_ms >= $start_ms AND prices.ts_ms < $end_ms
GROUP BY run.symbol
ORDER BY run.symbol
