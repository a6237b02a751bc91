-- Runs with an id below $1, newest first: at most $2, and with $3 only those that have not ended.
SELECT * FROM webhook_retry_runs
WHERE id < $1 AND (NOT $3::boolean OR ended_at IS NULL)
ORDER BY id DESC
LIMIT $2
