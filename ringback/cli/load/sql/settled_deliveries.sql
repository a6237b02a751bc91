-- The settled ones of these webhooks: job id, status and attempts.
SELECT id, status, attempts
FROM webhook_delivery_log
WHERE id = ANY ($1::uuid[])
  AND id BETWEEN $2 AND $3
  AND status IN ('completed', 'duplicate', 'dead_letter')
