-- Save how far the run $1 is and extend the lease of $2. A person's pause or stop stays. No row is
-- returned if the lease was lost or the run has ended.
UPDATE webhook_retry_runs
SET retried = $3, completed = $4, failed_again = $5, skipped = $6, unfinished = $7, position = $8,
    state = CASE WHEN state IN ('running', 'held') THEN $9 ELSE state END,
    message = CASE WHEN state IN ('running', 'held') THEN $10 ELSE message END,
    allowed_rate = CASE WHEN state IN ('running', 'held') THEN $11 ELSE 0 END,
    updated_at = clock_timestamp(), leased_until = clock_timestamp() + $12::interval
WHERE id = $1 AND lease_owner = $2 AND ended_at IS NULL
RETURNING state, followed_until < clock_timestamp() AS is_unfollowed
