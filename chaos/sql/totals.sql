-- The log's own totals, to compare with the counts that are stored beside it.
SELECT count(*) FILTER (WHERE status = 'completed') AS completed,
       count(*) FILTER (WHERE status = 'failed') AS failed,
       count(*) FILTER (WHERE status = 'dead_letter') AS dead_letter,
       count(*) FILTER (WHERE status IN ('pending', 'processing')) AS pending,
       count(*) FILTER (WHERE status = 'duplicate') AS duplicate,
       (SELECT accepted FROM webhook_ledger()) AS accepted,
       (SELECT deficit FROM webhook_ledger()) AS deficit,
       webhook_partition_days_ahead() AS days_ahead
FROM webhook_delivery_log
