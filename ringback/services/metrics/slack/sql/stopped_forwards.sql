-- The forwards that were stopped and are not announced yet, the earliest first.
SELECT destination, org_id, endpoint_id, forward, failing_since, last_error, stopped_at
FROM webhook_forward_notices
ORDER BY stopped_at, destination
