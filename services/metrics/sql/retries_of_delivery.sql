-- The retry that a webhook is, and the retry that was made of it.
SELECT original, new_id, actor, reason, created_at, published_at
FROM webhook_retries
WHERE original = $1 OR new_id = $1
