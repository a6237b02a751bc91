SELECT prune_webhook_retries($1)
