-- The webhooks that forward this one, or the one that this one retries. Their ids have the time of it.
--
-- The range is calculated apart. With row-level security, a condition that calls a function could not
-- exclude the other days.
WITH received AS MATERIALIZED (
    SELECT id, webhook_forwards_from(id) AS first_id, webhook_forwards_to(id) AS last_id
    FROM webhook_received_as($1) AS id
)
SELECT log.id, log.org_id, log.endpoint_id, log.event_type, log.status, log.attempts,
       log.max_attempts, log.created_at, log.last_attempt_at, log.completed_at, log.error_class,
       log.error_message, log.call_id, log.duplicate_of, log.retry_of, log.retried_as,
       log.resolution, log.resolved_at, log.altered, log.forward, log.forward_of
FROM received
JOIN webhook_delivery_log AS log
    ON log.forward_of = received.id AND log.id BETWEEN received.first_id AND received.last_id
WHERE log.retry_of IS NULL
ORDER BY log.forward
