-- Delete expired buckets of the statistics.
SELECT prune_webhook_stats()
