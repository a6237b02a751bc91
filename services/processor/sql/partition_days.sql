-- The first and the last day that the log has a partition for.
SELECT min(day) AS first_day, max(day) AS last_day FROM webhook_partition_days()
