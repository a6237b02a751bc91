-- The webhooks of an organisation that were created since a given time, by event type. There is no
-- upper limit: a gateway's clock may be ahead.
SELECT event_type, completed, failed, dead_letter, pending, duplicates, attempts
FROM webhook_stats_of($1, $2, 'infinity')
