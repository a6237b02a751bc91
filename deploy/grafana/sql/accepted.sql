-- Webhooks of the organisation in the whole hours of the time shown, without duplicates.
SELECT coalesce(sum(completed + failed + dead_letter + pending), 0)::bigint AS accepted
FROM webhook_stats_of(
    '$org', date_trunc('hour', $__timeFrom()::timestamptz, 'UTC'), $__timeTo()::timestamptz)
