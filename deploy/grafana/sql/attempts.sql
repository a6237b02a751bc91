-- Attempts for each webhook of the organisation that was tried; null without any.
SELECT sum(attempts)::float8 / nullif(sum(completed + failed + dead_letter), 0)::float8 AS attempts
FROM webhook_stats_of(
    '$org', date_trunc('hour', $__timeFrom()::timestamptz, 'UTC'), $__timeTo()::timestamptz)
