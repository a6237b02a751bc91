-- Count the completed webhooks that match a retry run, by event type and error class.
SELECT event_type, error_class, count(*) AS count, count(*) FILTER (WHERE altered) AS altered
FROM matching_completed_webhooks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
GROUP BY event_type, error_class
