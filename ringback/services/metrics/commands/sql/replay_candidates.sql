-- The next completed webhooks of a retry run, oldest first.
SELECT id FROM matching_completed_webhooks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ORDER BY id
LIMIT $11
