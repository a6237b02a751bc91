-- The attempt's row was written before its handler ran in the same transaction; this is its end.
WITH ended AS (
    UPDATE webhook_delivery_attempts SET ended_at = $3 WHERE delivery_id = $1 AND attempt = $2
)
UPDATE webhook_delivery_log SET completed_at = $3, last_attempt_at = $3 WHERE id = $1
