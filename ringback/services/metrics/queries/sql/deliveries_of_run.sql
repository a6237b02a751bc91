-- Like `deliveries.sql`, for the webhooks that the retry run $14 has created: their ids come from the
-- index of runs, and each one is read by its id. The log may have deleted it since.
SELECT *
FROM (
    SELECT retry.new_id AS id, retry.place, log.*, (
               log.status IS NOT NULL
               AND ($5::text[] IS NULL OR status = ANY ($5))
               AND (NOT $6::boolean OR resolution IS NULL)
               AND ($7::text IS NULL OR event_type = $7)
               AND ($8::text IS NULL OR error_class = $8)
               AND ($9::text IS NULL OR call_id = $9)
               AND ($10::timestamptz IS NULL OR created_at >= $10)
               AND ($11::timestamptz IS NULL OR created_at < $11)
           ) IS TRUE AS matches
    FROM (
        SELECT new_id, row_number() OVER (ORDER BY new_id DESC) AS place
        FROM webhook_retries
        WHERE run_id = $14 AND new_id < $1 AND new_id >= $2 AND org_id BETWEEN $12 AND $13
        ORDER BY new_id DESC
        LIMIT $3
    ) AS retry
    LEFT JOIN LATERAL (
        SELECT org_id, endpoint_id, event_type, status, attempts, max_attempts, created_at,
               last_attempt_at, completed_at, error_class, error_message, call_id, duplicate_of,
               retry_of, retried_as, resolution, resolved_at, altered, forward, forward_of
        FROM webhook_delivery_log
        WHERE id = retry.new_id
        -- Without it, the planner may read the whole log instead.
        LIMIT 1
    ) AS log ON true
) AS judged
WHERE matches OR place = $3
ORDER BY id DESC
LIMIT $4
