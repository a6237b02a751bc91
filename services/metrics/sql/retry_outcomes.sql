-- What became of webhooks that were made from dead letters.
SELECT id, status, attempts FROM webhook_delivery_log WHERE id = ANY ($1::uuid[])
