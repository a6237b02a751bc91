-- One webhook, with its event if a processor has written it already.
SELECT id, org_id, endpoint_id, event_type, status, attempts, max_attempts, created_at,
       last_attempt_at, completed_at, error_class, error_message, call_id, duplicate_of,
       retry_of, retried_as, resolution, resolved_at, altered, forward, forward_of, dedup_key,
       CASE WHEN webhook_has_payload(event_data) THEN event_data::text END AS event_data
FROM webhook_delivery_log
WHERE id = $1
