-- Unresolved dead letters by event type and error class, after the group ($1, $2); null: from the
-- first one. At most $3 groups, each with its newest webhook.
WITH page AS (
    SELECT event_type, error_class, count(*) AS count, min(created_at) AS first_seen,
           max(created_at) AS last_seen, max(id::text COLLATE "C")::uuid AS latest,
           count(*) FILTER (WHERE created_at > now() - interval '1 day') AS count_last_day
    FROM webhook_delivery_log
    WHERE is_unresolved
      AND ($1::text IS NULL OR (event_type, error_class) > ($1, $2::text))
    GROUP BY event_type, error_class
    ORDER BY event_type, error_class
    LIMIT $3
)
SELECT page.*, newest.error_message
FROM page
LEFT JOIN LATERAL (
    SELECT error_message FROM webhook_delivery_log WHERE id = page.latest
) AS newest ON true
ORDER BY event_type, error_class
