-- The share of completed webhooks among those of the organisation that ended; null without any.
SELECT sum(completed)::float8 / nullif(sum(completed + dead_letter), 0)::float8 AS success
FROM webhook_stats_of(
    '$org', date_trunc('hour', $__timeFrom()::timestamptz, 'UTC'), $__timeTo()::timestamptz)
