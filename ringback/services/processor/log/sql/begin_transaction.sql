-- Begin an attempt whose handlers write in this transaction, and note which transaction it is.
SELECT recorded_outcome, duplicate_of, transaction_id, role_name, search_path
FROM begin_webhook_transaction($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
