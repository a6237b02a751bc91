-- Results of webhooks that were created from dead letters.
SELECT id, status, attempts FROM webhook_delivery_log WHERE id = ANY ($1::uuid[])
