-- The states of these webhooks.
SELECT id, org_id, status, attempts, max_attempts, last_attempt_at, completed_at, error_class,
       error_message, clock_timestamp() AS now
FROM webhook_delivery_log
WHERE id = ANY ($1::uuid[]) AND id BETWEEN $2 AND $3
