-- Let no replica work on the run $1, leased by $2, for $4, and say why. A person's pause or stop stays.
UPDATE webhook_retry_runs
SET state = CASE WHEN state = 'running' THEN 'held' ELSE state END,
    message = CASE WHEN state IN ('running', 'held') THEN $3 ELSE message END,
    allowed_rate = 0, updated_at = clock_timestamp(), lease_owner = NULL,
    leased_until = clock_timestamp() + $4::interval
WHERE id = $1 AND lease_owner = $2 AND ended_at IS NULL
