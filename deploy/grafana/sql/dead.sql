-- Dead letters among the webhooks of the organisation in the time shown.
SELECT coalesce(sum(dead_letter), 0)::bigint AS dead_letters
FROM webhook_stats_of(
    '$org', date_trunc('hour', $__timeFrom()::timestamptz, 'UTC'), $__timeTo()::timestamptz)
