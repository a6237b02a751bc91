-- Count the dead letters that match a retry run, by event type and error class.
SELECT event_type, error_class, count(*) AS count, count(*) FILTER (WHERE altered) AS altered
FROM matching_dead_letters($1, $2, $3, $4, $5, $6, $7)
GROUP BY event_type, error_class
