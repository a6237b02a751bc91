-- Make the days ahead.
SELECT ensure_webhook_partitions()
