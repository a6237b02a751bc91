-- Move webhooks to the dead letters; answers those that were not there before.
SELECT delivery_id, attempts, error_class, error_message
FROM record_webhook_dead_letters($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
