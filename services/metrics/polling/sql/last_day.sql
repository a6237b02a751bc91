-- Results of the webhooks of the last 24 hours, of all organisations. There is no upper limit: a
-- gateway's clock may be ahead.
SELECT coalesce(sum(completed), 0)::bigint AS completed,
       coalesce(sum(failed + dead_letter), 0)::bigint AS failed
FROM webhook_stats_of(
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
    date_trunc('minute', clock_timestamp() - interval '24 hours', 'UTC'),
    'infinity')
