-- End the lease of these retries if it still ends at $2; then they can be leased again at once.
UPDATE webhook_retries SET leased_until = NULL
WHERE new_id = ANY ($1::uuid[]) AND leased_until = $2 AND published_at IS NULL
