-- Like `deliveries.sql`, only unresolved dead letters: they have their own index.
SELECT *
FROM (
    SELECT looked_at.*, (
               ($5::text[] IS NULL OR status = ANY ($5))
               AND (NOT $6::boolean OR resolution IS NULL)
               AND ($7::text IS NULL OR event_type = $7)
               AND ($8::text IS NULL OR error_class = $8)
               AND ($9::text IS NULL OR call_id = $9)
               AND ($10::timestamptz IS NULL OR created_at >= $10)
               AND ($11::timestamptz IS NULL OR created_at < $11)
           ) IS TRUE AS matches
    FROM (
        SELECT id, org_id, endpoint_id, event_type, status, attempts, max_attempts, created_at,
               last_attempt_at, completed_at, error_class, error_message, call_id, duplicate_of,
               retry_of, retried_as, resolution, resolved_at, altered, forward, forward_of,
               row_number() OVER (ORDER BY id DESC) AS place
        FROM webhook_delivery_log
        WHERE id < $1 AND id >= $2 AND org_id BETWEEN $12 AND $13 AND is_unresolved
        ORDER BY id DESC
        LIMIT $3
    ) AS looked_at
) AS judged
WHERE matches OR place = $3
ORDER BY id DESC
LIMIT $4
