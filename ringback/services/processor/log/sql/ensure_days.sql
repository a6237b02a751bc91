-- Create the partitions of the given days, if they are missing.
SELECT ensure_webhook_partitions_for($1)
