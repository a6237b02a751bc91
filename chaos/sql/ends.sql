-- The status and the error of each of these webhooks.
SELECT job_id, status, coalesce(error_class, '') AS error_class
FROM webhook_delivery_log
WHERE id = ANY ($1::text[]::uuid[])
