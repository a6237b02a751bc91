-- Forgets retries whose webhooks the log has forgotten, at most so many; says how many.
SELECT prune_webhook_retries($1)
