-- Those of these webhooks that wait in the database.
SELECT delivery_id AS id, org_id, event_type, reason, attempt, created_at, due_at, destination,
       order_key
FROM webhook_waits
WHERE delivery_id = ANY ($1::uuid[])
