-- Begin attempts whose handlers act outside the database.
SELECT delivery_id, recorded_outcome, duplicate_of
FROM begin_webhook_attempts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
