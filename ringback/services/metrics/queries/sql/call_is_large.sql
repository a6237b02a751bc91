-- A row if the call $1 has more than $2 webhooks.
SELECT id FROM webhook_delivery_log WHERE call_id = $1 OFFSET $2 LIMIT 1
