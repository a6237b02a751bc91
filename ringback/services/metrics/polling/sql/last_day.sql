-- Results of the webhooks of the last 24 hours, of all organisations. There is no upper limit: a
-- gateway's clock may be ahead. Duplicates are among the accepted ones.
SELECT date_trunc('minute', now() - interval '24 hours', 'UTC') AS counted_from,
       coalesce(sum(completed), 0)::bigint AS completed,
       coalesce(sum(failed + dead_letter), 0)::bigint AS failed,
       coalesce(sum(dead_letter), 0)::bigint AS dead_letters,
       coalesce(sum(attempts), 0)::bigint AS attempts,
       coalesce(sum(completed + failed + dead_letter + pending + duplicates), 0)::bigint AS accepted
FROM webhook_stats_of(
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
    date_trunc('minute', now() - interval '24 hours', 'UTC'),
    'infinity')
