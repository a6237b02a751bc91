-- The parts of one retry's message, and the first trace of the webhook that is retried.
SELECT log.id, log.org_id, log.endpoint_id, log.event_type, log.event_data::text AS body,
       log.dedup_key, log.gateway_instance_id, log.forward, log.forward_of,
       log.retry_schedule, retry.original, retry.received_at, first.trace_id, first.span_id
FROM webhook_retries AS retry
JOIN webhook_delivery_log AS log ON log.id = retry.new_id
LEFT JOIN webhook_delivery_attempts AS first
    ON first.delivery_id = retry.original AND first.attempt = 1
WHERE retry.new_id = $1 AND log.id = $1
