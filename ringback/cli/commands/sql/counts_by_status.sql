-- The webhooks of the last 24 hours, by status.
SELECT status, count(*)
FROM webhook_delivery_log
WHERE id >= webhook_id_at(now() - interval '24 hours')
GROUP BY status
