-- Create the partitions of the next days.
SELECT ensure_webhook_partitions()
