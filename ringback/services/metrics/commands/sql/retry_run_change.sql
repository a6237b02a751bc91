-- Pause, resume or stop a run.
SELECT change_webhook_retry_run($1, $2, $3, $4, $5, $6) AS state_before
