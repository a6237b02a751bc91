-- Delete at most so many retries whose webhooks the log has deleted; returns how many.
SELECT prune_webhook_retries($1)
