-- The webhooks of each call in the order of their effects.
SELECT event, array_agg(job_id::text ORDER BY written_at) AS job_ids
FROM chaos.effects WHERE event = ANY ($1::text[]) GROUP BY event
