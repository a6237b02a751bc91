-- Whether this webhook is a retry, and the retry made from it. If the original was a duplicate: of
-- which webhook.
SELECT retry.original, retry.new_id, retry.actor, retry.reason, retry.created_at,
       retry.published_at, before.duplicate_of
FROM webhook_retries AS retry
LEFT JOIN webhook_delivery_log AS before ON before.id = retry.original
WHERE retry.original = $1 OR retry.new_id = $1
