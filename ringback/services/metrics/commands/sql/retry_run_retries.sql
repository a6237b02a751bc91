-- The webhooks that this run has created. The status is null if the log has deleted one.
SELECT retry.new_id AS id, log.status, log.attempts
FROM webhook_retries AS retry
LEFT JOIN webhook_delivery_log AS log ON log.id = retry.new_id
WHERE retry.run_id = $1
