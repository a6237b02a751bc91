-- Forget old notices where nobody is to be told, at most $1; how many were forgotten.
SELECT prune_webhook_alerts($1)
