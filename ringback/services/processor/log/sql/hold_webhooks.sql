-- Let webhooks wait in PostgreSQL for an attempt that was not used.
SELECT delivery_id, recorded_outcome
FROM hold_webhooks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
