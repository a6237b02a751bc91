-- Make the days that webhooks need and that have no partition.
SELECT ensure_webhook_partitions_for($1)
