-- Record that the caller of this run is connected, and will be for $2.
UPDATE webhook_retry_runs SET followed_until = clock_timestamp() + $2::interval
WHERE id = $1 AND ended_at IS NULL
