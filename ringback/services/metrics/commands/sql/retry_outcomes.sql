-- The states of these retried webhooks.
SELECT id, status, attempts FROM webhook_delivery_log WHERE id = ANY ($1::uuid[])
