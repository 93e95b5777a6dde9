-- Scenario of each symbol's latest trade, for the panel of a running harvest.
-- grain: one row per symbol of the run
-- params: $symbols VARCHAR[] symbols of the run
--   $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
SELECT run.symbol, max(prices.ts_ms) AS ts_ms, arg_max_null(prices.scenario_2x2, prices.agg_trade_id) AS scenario_2x2
FROM (SELECT unnest($symbols::VARCHAR[]) AS symbol) AS run
LEFT JOIN prices ON prices.symbol = run.symbol AND prices.ts_ms >= $start_ms AND prices.ts_ms < $end_ms
GROUP BY run.symbol
ORDER BY run.symbol
