-- These webhooks, and whether $2, the text that replaces what is redacted, is in their events.
SELECT id, org_id, endpoint_id, event_type, status, attempts, max_attempts, created_at,
       last_attempt_at, completed_at, error_class, error_message, call_id, duplicate_of, retry_of,
       retried_as, resolution, resolved_at, altered, forward, forward_of,
       strpos(event_data::text, $2) > 0 AS is_redacted
FROM webhook_delivery_log
WHERE id = ANY ($1::uuid[])
ORDER BY id
