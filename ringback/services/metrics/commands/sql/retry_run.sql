-- One run: by its id, or by the request that created it.
SELECT * FROM webhook_retry_runs WHERE id = $1 OR (actor = $2 AND request_id = $3)
