-- Retries older than $1 without a recorded confirm, oldest first, $2 at most. They are locked until
-- the end of the transaction, so another sweeper skips them.
SELECT log.id, log.org_id, log.endpoint_id, log.event_type, log.event_data::text AS body,
       log.dedup_key, log.gateway_instance_id, retry.original, retry.received_at,
       first.trace_id, first.span_id
FROM webhook_retries AS retry
JOIN webhook_delivery_log AS log ON log.id = retry.new_id
LEFT JOIN webhook_delivery_attempts AS first
    ON first.delivery_id = retry.original AND first.attempt = 1
WHERE retry.published_at IS NULL AND retry.created_at < clock_timestamp() - $1::interval
ORDER BY retry.created_at
LIMIT $2
FOR UPDATE OF retry SKIP LOCKED
