-- What became of the webhooks that the organisation sent in each minute.
SELECT bucket AS "time", sum(completed)::bigint AS "completed", sum(failed)::bigint AS "retrying",
       sum(dead_letter)::bigint AS "dead letters", sum(duplicates)::bigint AS "duplicates"
FROM webhook_stats
WHERE org_id = '$org' AND grain = 'minute'
  AND bucket >= $__timeFrom()::timestamptz AND bucket < $__timeTo()::timestamptz
GROUP BY bucket
ORDER BY bucket
