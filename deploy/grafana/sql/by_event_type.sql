-- What became of the webhooks of the organisation, by their type.
SELECT event_type AS "Type", completed AS "Completed", failed AS "Retrying",
       dead_letter AS "Dead letters", pending AS "Pending", duplicates AS "Duplicates"
FROM webhook_stats_of(
    '$org', date_trunc('hour', $__timeFrom()::timestamptz, 'UTC'), $__timeTo()::timestamptz)
ORDER BY completed + failed + dead_letter + pending DESC, event_type
LIMIT 50
