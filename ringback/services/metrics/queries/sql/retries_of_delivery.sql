-- The retry that created this webhook, and the retry made from it. `duplicate_of`: of which webhook
-- the retried one was a duplicate, if it was one.
SELECT retry.original, retry.new_id, retry.actor, retry.reason, retry.created_at,
       retry.published_at, retry.run_id, before.duplicate_of
FROM webhook_retries AS retry
LEFT JOIN webhook_delivery_log AS before ON before.id = retry.original
WHERE retry.original = $1 OR retry.new_id = $1
