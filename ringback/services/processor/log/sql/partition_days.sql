-- The days that the log has a partition for.
SELECT day FROM webhook_partition_days()
