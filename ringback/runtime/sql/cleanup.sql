-- Drop and delete what is older than the retention.
CALL cleanup_old_webhook_logs($1)
