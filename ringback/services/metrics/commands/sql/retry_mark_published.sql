-- Record that the broker has confirmed these retries.
UPDATE webhook_retries SET published_at = clock_timestamp()
WHERE new_id = ANY ($1::uuid[]) AND published_at IS NULL
