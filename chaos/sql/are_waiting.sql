-- How many of these webhooks wait in PostgreSQL.
SELECT count(*) FROM webhook_waits WHERE delivery_id = ANY ($1::text[]::uuid[])
