-- Delete at most $1 old notices, when no channel is configured; returns how many were deleted.
SELECT prune_webhook_alerts($1)
