-- Delete the buckets that no answer needs any more.
SELECT prune_webhook_stats()
