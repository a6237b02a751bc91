-- Numbers from the log: the ledger, the statuses of the last 24 hours (unfinished are pending or
-- being processed), the oldest ages in seconds, the partitions created ahead, and the extra days.
SELECT ledger.accepted, ledger.deficit,
       ages.pending AS oldest_pending_s, ages.failed AS oldest_failed_s,
       webhook_partition_days_ahead() AS days_ahead, webhook_extra_partition_count() AS extra_days,
       day.completed, day.failed, day.dead_letter, day.unfinished, day.duplicate
FROM webhook_ledger() AS ledger,
     webhook_oldest_ages() AS ages,
     (SELECT coalesce(sum(completed), 0)::bigint AS completed,
             coalesce(sum(failed), 0)::bigint AS failed,
             coalesce(sum(dead_letter), 0)::bigint AS dead_letter,
             coalesce(sum(pending), 0)::bigint AS unfinished,
             coalesce(sum(duplicates), 0)::bigint AS duplicate
      FROM webhook_stats_of(
          'ffffffff-ffff-ffff-ffff-ffffffffffff',
          date_trunc('minute', clock_timestamp() - interval '24 hours', 'UTC'),
          'infinity')) AS day
