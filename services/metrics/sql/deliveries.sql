-- Webhooks with ids below $1 and not below $2, newest first, that match all that is given (null or
-- false: whatever it is): statuses, unresolved, event type, error class, call, created from, created
-- before. It looks at $3 of them at most and answers $4 at most. The last that it may look at is
-- answered also where it does not match, for the next page begins after it.
--
-- Of a tenant, $12 and $13 are its organisation. Row level security says so already, but the planner
-- then guesses that every organisation has its share, and might look for a small one's webhooks among
-- those of all. A range is guessed to be narrow, so it takes the index that begins with it.
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
               retry_of, retried_as, resolution, resolved_at, altered,
               row_number() OVER (ORDER BY id DESC) AS place
        FROM webhook_delivery_log
        WHERE id < $1 AND id >= $2 AND org_id BETWEEN $12 AND $13
        ORDER BY id DESC
        LIMIT $3
    ) AS looked_at
) AS judged
WHERE matches OR place = $3
ORDER BY id DESC
LIMIT $4
