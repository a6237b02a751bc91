-- End the lease of these retries, if it is still the one until $2: they are due again at once.
UPDATE webhook_retries SET leased_until = NULL
WHERE new_id = ANY ($1::uuid[]) AND leased_until = $2 AND published_at IS NULL
