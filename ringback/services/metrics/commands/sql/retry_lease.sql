-- Lease the oldest retries older than $1 without a recorded confirm, $2 at most, for $3. Rows that
-- another sweeper has leased, or leases at this moment, are skipped. So are retries whose webhooks
-- the log has deleted: nothing is left to publish, and they would delay the others.
WITH due AS MATERIALIZED (
    SELECT new_id FROM webhook_retries
    WHERE published_at IS NULL AND created_at < clock_timestamp() - $1::interval
      AND (leased_until IS NULL OR leased_until < now())
      AND (SELECT true FROM webhook_delivery_log AS log WHERE log.id = new_id)
    ORDER BY created_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), leased AS (
    UPDATE webhook_retries AS retry SET leased_until = now() + $3::interval
    FROM due
    WHERE retry.new_id = due.new_id
    RETURNING retry.new_id, retry.original, retry.received_at, retry.created_at, retry.leased_until
)
SELECT log.id, log.org_id, log.endpoint_id, log.event_type, log.event_data::text AS body,
       log.dedup_key, log.gateway_instance_id, log.forward, log.forward_of,
       log.retry_schedule, leased.original, leased.received_at, first.trace_id, first.span_id,
       leased.leased_until
FROM leased
JOIN webhook_delivery_log AS log ON log.id = leased.new_id
LEFT JOIN webhook_delivery_attempts AS first
    ON first.delivery_id = leased.original AND first.attempt = 1
ORDER BY leased.created_at
