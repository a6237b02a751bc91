-- Webhooks with ids from $2 up to below $1, newest first, that match every given filter (null or
-- false: no filter): statuses, unresolved, event type, error class, call, created from, created
-- before. It reads at most $3 of them and returns at most $4. The last row it may read is returned
-- even if it does not match, because the next page begins after it.
-- For a tenant, $12 and $13 are its organisation. Row level security has the same condition, but
-- alone it lets the planner assume that all organisations have the same size: it might read
-- everyone's rows to find those of a small one. With the range the planner uses the index that
-- begins with the organisation, because it assumes that a range is narrow.
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
        WHERE id < $1 AND id >= $2 AND org_id BETWEEN $12 AND $13
        ORDER BY id DESC
        LIMIT $3
    ) AS looked_at
) AS judged
WHERE matches OR place = $3
ORDER BY id DESC
LIMIT $4
