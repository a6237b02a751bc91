-- Whether none of these webhooks waits in PostgreSQL.
SELECT NOT EXISTS (SELECT FROM webhook_waits WHERE delivery_id = ANY ($1::text[]::uuid[]))
