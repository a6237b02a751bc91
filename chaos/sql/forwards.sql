-- How the forwards of an endpoint's webhooks ended.
SELECT status, count(*) AS webhooks
FROM webhook_delivery_log
WHERE endpoint_id = $1 AND forward IS NOT NULL
GROUP BY status
