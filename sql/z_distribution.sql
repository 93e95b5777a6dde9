-- Distribution of z_raw against z_cvd; what lies beyond the outermost bins is counted in them.
-- grain: one row per bin with rows
-- params: $start_ms BIGINT start of the window
--   $end_ms BIGINT end of the window, exclusive
--   $width DOUBLE width of a bin
--   $limit DOUBLE middle of the outermost bins
WITH binned AS (
    SELECT
        round(greatest(-$limit, least($limit, z_raw)) / $width)::BIGINT AS raw_bin,
        round(greatest(-$limit, least($limit, z_cvd)) / $width)::BIGINT AS cvd_bin,
        count(*) AS n
    FROM cvd
    WHERE ts_ms >= $start_ms AND ts_ms < $end_ms AND isfinite(z_raw) AND isfinite(z_cvd)
    GROUP BY ALL
)
SELECT bin * $width AS z, sum(raw)::BIGINT AS z_raw, sum(clipped)::BIGINT AS z_cvd
FROM (
    SELECT raw_bin AS bin, n AS raw, 0 AS clipped FROM binned
    UNION ALL
    SELECT cvd_bin, 0, n FROM binned
)
GROUP BY bin
ORDER BY bin
