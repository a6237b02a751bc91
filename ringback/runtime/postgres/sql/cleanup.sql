-- Drop and delete finished webhooks older than the retention.
CALL cleanup_old_webhook_logs($1)
