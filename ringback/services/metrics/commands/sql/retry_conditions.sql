-- Whether processing is paused, and how many webhooks per second arrived in this minute and the
-- previous one, without retries. $1 is the id of the statistics of all organisations.
WITH span AS (
    SELECT date_trunc('minute', clock_timestamp(), 'UTC') - interval '1 minute' AS beginning,
           clock_timestamp() AS now
)
SELECT (SELECT paused FROM webhook_processing) AS is_paused,
       greatest(0, (
           SELECT coalesce(sum(completed + failed + dead_letter + pending + duplicates), 0)
           FROM span, webhook_stats_of($1, beginning, beginning + interval '2 minutes')
       ) - (
           SELECT count(*) FROM webhook_retries WHERE created_at >= (SELECT beginning FROM span)
       ))::double precision
       / (SELECT extract(epoch FROM now - beginning) FROM span)::double precision AS live_per_second
