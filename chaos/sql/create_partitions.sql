-- Make these days, as their owner may.
SELECT ensure_webhook_partitions($1, $2)
